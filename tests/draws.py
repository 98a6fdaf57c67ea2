"""The random numbers of several processes, handed to one."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Draws(TorchDispatchMode):
    """Records the random numbers of a rank; or replaces those of one process by the ranks' side by side."""

    def __init__(self, of_ranks=None):
        super().__init__()
        self.of_ranks, self.drawn = of_ranks, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags:
            if self.of_ranks is None:
                self.drawn.append(out.clone())
            else:
                shards = [drawn[len(self.drawn)] for drawn in self.of_ranks]
                self.drawn.append(out)
                split = [d for d, (b, whole) in enumerate(zip(shards[0].shape, out.shape, strict=True)) if b != whole]
                out.copy_(torch.cat(shards, *split) if split else shards[0])
        return out
