"""A data set, decoded once into an array, and batches drawn from it by index."""

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from zoo.arguments import ABOVE_0, checked, number_from
from zoo.lab.data import bit_packing as bits
from zoo.lab.data.batch import Batch, Batches, floats, light, positions
from zoo.lab.data.conversion import (
    as_features,
    as_labels,
    check_finite,
    check_labels,
    from_items,
    is_torch_dataset,
)
from zoo.lab.data.factors import Factors
from zoo.lab.data.rows import Rows, blocks
from zoo.lab.data.summary import summarise
from zoo.seeds import stream, torch_stream
from zoo.tables import Tabulated


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Tabulated):
    """A set in memory, memory-mapped, or rendered on demand; no file is decoded once the set is built.

    Attributes:
        name: its name in pictures and messages.
        x: [N, ...], anything that an integer array can index: uint8 images [N, C, H, W]; floats; a sparse matrix of
            floats [N, V]; binary images as words of 64 pixels, uint64 [N, C, H, W / 64] (see `bit_packing`). Or a
            memory map of them, or an object that computes rows when indexed (see `Rows`).
        y: labels [N] from 0, or None.
        x_max: the value of x that becomes 1.0; 255 for bytes. Floats and words are not scaled.
        classes: the names of the labels; empty where they have none.
        factors: the generative factors, or None.
        vocabulary: the names of x's columns, where it counts words.
        dynamic: whether each pixel is drawn again for each batch, 1 with probability x / x_max; only for bytes.
        left_out: the kinds of datapoints that the source left out, and the number of each.

    Raises:
        ValueError: the set is empty; x does not hold bytes, words of bits or finite floats; y, classes or factors do
            not match it.
    """

    name: str
    x: Any
    y: np.ndarray | None = None
    x_max: float = 255.0
    classes: tuple[str, ...] = ()
    factors: Factors | None = None
    vocabulary: tuple[str, ...] = ()
    dynamic: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if 0 in self.x.shape:
            raise ValueError(f"data {self.name!r}: x is empty, got {self.x.shape}, so there is nothing to train on")
        floats = np.issubdtype(self.x.dtype, np.floating)
        if self.x.dtype not in (np.uint8, bits.WORD) and not (floats and np.dtype(self.x.dtype).itemsize <= 8):
            raise ValueError(f"data {self.name!r}: x must hold bytes or floats, got {self.x.dtype}")
        if not 0 < self.x_max < math.inf:
            raise ValueError(f"data {self.name!r}: x_max must be above 0, got {self.x_max:g}")
        if floats and not (isinstance(self.x, Rows) and self.x.checked):
            check_finite(self.name, self.x)
        if self.dynamic and self.x.dtype != np.uint8:
            raise ValueError(f"data {self.name!r}: only bytes can be binarised, and x holds {self.x.dtype}")
        if self.y is not None:
            check_labels(self.name, self.y, len(self), self.classes)
        if self.factors is not None and len(self.factors) != len(self):
            raise ValueError(f"data {self.name!r}: factors of {len(self.factors)} datapoints for {len(self)}")

    @classmethod
    @checked(x_max=ABOVE_0)
    def from_arrays(
        cls,
        x: Any,
        y: Any = None,
        *,
        name: str = "yours",
        x_max: float | None = None,
        classes: Sequence[str] = (),
        factors: Any = None,
    ) -> "Dataset":
        """Your own set from arrays, tensors, lists, data frames or a torch Dataset.

        Args:
            x: bytes, floats or booleans [N, ...], or a sparse matrix [N, V]. [N, H, W], [N, H, W, 1] and
                [N, H, W, 3] are treated as images and become [N, C, H, W], the last two where H > 4 and W > C. Or a
                torch Dataset, whose items are datapoints or pairs of a datapoint and its label; each item is read once.
            y: labels [N]: integers from 0, or names.
            name: its name in pictures and messages.
            x_max: the byte that becomes 1.0, only for bytes; when not given, 255, or 1 if all bytes are 0 or 1.
            classes: the names of integer labels, or the order of labels that are names.
            factors: `Factors`; or each factor's values [N], as a mapping by name, a data frame, or a table [N, F].

        Raises:
            TypeError: x, y or factors cannot be converted to arrays.
            ValueError: as for `Dataset`; a byte is above x_max, or x holds booleans and x_max is not 1; a label or
                value is missing; there are classes but no y.
        """
        if is_torch_dataset(x):
            x, found = from_items(name, x)
            if y is None:
                y = found
            elif found is not None:
                raise ValueError(f"data {name!r}: the items of x have labels of their own, and y has others; drop one")
        if str(getattr(x, "dtype", "")) in ("bool", "torch.bool") and x_max not in (None, 1):
            raise ValueError(
                f"data {name!r}: x holds booleans, and with x_max = {x_max:g} true would become {1 / x_max:.2g}; leave "
                "x_max out, or give a test set the type of its training set"
            )
        x = as_features(name, x)
        if x.dtype == np.uint8 and 0 not in x.shape and (x_max is None or x_max < 255):
            largest = max(int(block.max()) for _, block in blocks(x))
            if x_max is None:
                x_max = 1.0 if largest <= 1 else 255.0
            elif largest > x_max:
                raise ValueError(f"data {name!r}: x has bytes up to {largest}, above x_max = {x_max:g}")
        y, classes = as_labels(name, y, classes)
        if factors is not None and not isinstance(factors, Factors):
            factors = Factors.of(factors)
        return cls(name, x, y, 255.0 if x_max is None else x_max, tuple(classes), factors)

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def _table(self) -> Any:
        return summarise(self)

    def __iter__(self) -> NoReturn:
        raise TypeError(f"data {self.name!r} is a set, not batches of it: use data.batches(64, seed=0, steps=1_000)")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one datapoint."""
        shape = tuple(self.x.shape[1:])
        return (*shape[:-1], 64 * shape[-1]) if self.x.dtype == bits.WORD else shape

    @property
    def are_images(self) -> bool:
        """Whether a datapoint can be shown: grey [1, H, W] or in colours [3, H, W]."""
        return len(self.shape) == 3 and self.shape[0] in (1, 3)

    def batch(self, index: Tensor, *, labels: bool = False, device: str | torch.device = "cpu", seed: Any = 0) -> Batch:
        """The datapoints at `index` [B], as floats on `device`; bytes and bits are converted there.

        `seed`, of any type that `numpy.random.default_rng` accepts, is for a set that is binarised dynamically.

        Raises:
            IndexError: there is no such datapoint.
        """
        rows = positions(self.name, index.cpu().numpy(), len(self))
        x, x_max = self.x[rows], self.x_max
        if self.dynamic:
            x, x_max = light(x, x_max, stream(seed)), 1.0
        y = torch.from_numpy(self.y[rows].astype(np.int64)).to(device) if labels and self.y is not None else None
        return Batch(floats(x, x_max, device), y, torch.from_numpy(rows).to(device))

    @checked()
    def batches(
        self,
        batch_size: int,
        *,
        seed: int,
        steps: int | None = None,
        start: int = 0,
        labels: bool = False,
        device: str | torch.device = "cpu",
    ) -> Iterator[Batch]:
        """Shuffled batches of one size, epoch after epoch; an incomplete batch at the end of an epoch is dropped.

        Order and binarisation depend on seed and step only, so a run that resumes at `start` sees the same batches as
        one that was not interrupted.

        Args:
            batch_size: B.
            seed: of the order.
            steps: the number of steps; infinite when not given.
            start: the first step.
            labels: whether a batch has y.
            device: where the batches go.

        Raises:
            ValueError: the batch is larger than the data, or not positive.
        """
        self.check(batch_size)
        count = None if steps is None else max(0, steps - start)
        return Batches(self._shuffled(batch_size, operator.index(seed), steps, start, labels, device), count)

    def _shuffled(
        self,
        batch_size: int,
        seed: int,
        steps: int | None,
        start: int,
        labels: bool,
        device: str | torch.device,
    ) -> Iterator[Batch]:
        per_epoch = len(self) // batch_size
        step, epoch = start, -1
        while steps is None or step < steps:
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = torch.randperm(len(self), generator=torch_stream(seed * 1_000_003 + epoch))
            at = (step % per_epoch) * batch_size
            yield self.batch(order[at : at + batch_size], labels=labels, device=device, seed=(seed, step))
            step += 1

    @checked(batch_size=number_from(1))
    def in_order(self, batch_size: int, *, labels: bool = False, device: str | torch.device = "cpu") -> Iterator[Batch]:
        """Every datapoint once, in order; the last batch may be smaller.

        A set that is binarised dynamically is drawn with seed 0; the draws do not depend on the batch size.
        """
        rng = np.random.default_rng(0)
        for index in torch.arange(len(self)).split(batch_size):
            yield self.batch(index, labels=labels, device=device, seed=rng)

    @checked(count=number_from(1))
    def sample(
        self,
        count: int,
        *,
        fixed: Mapping[str, int] | None = None,
        seed: Any = 0,
        labels: bool = False,
        device: str | torch.device = "cpu",
    ) -> Batch:
        """Draws datapoints with replacement, with some factors fixed at a class; see `Factors.sample`.

        Raises:
            ValueError: the set has no factors, or as `Factors.sample`.
        """
        if self.factors is None:
            raise ValueError(f"data {self.name!r} has no factors to fix or draw by")
        rng = stream(seed)
        index = torch.from_numpy(self.factors.sample(count, fixed=fixed, seed=rng))
        return self.batch(index, labels=labels, device=device, seed=rng)

    @checked()
    def subset(self, rows: np.ndarray) -> "Dataset":
        """The datapoints at `rows`, their positions [n] or a mask [N]; copied where x is in memory, else looked up.

        Raises:
            IndexError: there is no such datapoint.
        """
        rows = positions(self.name, np.asarray(rows), len(self))
        in_memory = sparse.issparse(self.x) or (isinstance(self.x, np.ndarray) and not isinstance(self.x, np.memmap))
        return replace(
            self,
            x=self.x[rows] if in_memory else Rows(self.x, rows, checked=True),
            y=None if self.y is None else self.y[rows],
            factors=None if self.factors is None else self.factors.subset(rows),
        )

    @checked()
    def binarised(self, how: str, *, seed: Any = 0) -> "Dataset":
        """The set with binary pixels, each 1 with probability x / x_max.

        Args:
            how: "static" draws once, as in Larochelle and Murray's fixed binarised MNIST (AISTATS 2011); "dynamic"
                draws each time a datapoint is used, as in Burda, Grosse, Salakhutdinov (arXiv:1509.00519); "no" keeps
                the grey values, as the papers' own codes do.
            seed: of the static draw, of any type that `numpy.random.default_rng` accepts.

        Raises:
            ValueError: `how` is none of these, or x does not hold bytes.
        """
        if how == "no":
            return self
        if how == "dynamic":
            return replace(self, dynamic=True)
        if how != "static":
            raise ValueError(f"data {self.name!r}: binarise is 'no', 'static' or 'dynamic', got {how!r}")
        replace(self, dynamic=True)  # raises where x cannot be binarised
        x = np.empty(self.x.shape, np.uint8)
        rng = stream(seed)
        for start, block in blocks(self.x):
            x[start : start + len(block)] = light(block, self.x_max, rng)
        return replace(self, x=x, x_max=1.0)

    def class_name(self, label: int) -> str:
        """The name of a label; its number where the labels have no names."""
        return self.classes[label] if label < len(self.classes) else str(label)

    def count_classes(self) -> int:
        """L, the number of classes of the labels.

        Raises:
            ValueError: there are no labels, a single class, or a class without datapoints.
        """
        if self.y is None:
            raise ValueError(
                f"data {self.name!r} has no labels, which a pair with classes needs for training: use a set that has "
                "labels (python -m zoo data), or a folder with a sub-folder for each class"
            )
        found = np.unique(self.y)
        count = max(len(self.classes), int(found[-1]) + 1)
        if count < 2:
            raise ValueError(f"data {self.name!r} has a single class; a classifier needs at least two")
        if len(found) < count:
            first = next(c for c in range(count) if c >= len(found) or found[c] != c)
            raise ValueError(
                f"data {self.name!r}: class {self.class_name(first)} never occurs among "
                f"{len(self):,} datapoints, one of {count - len(found):,} such classes, so it cannot be "
                "learnt; leave it out, np.unique(y, return_inverse=True) numbers the rest from 0"
            )
        return count

    @checked()
    def check(self, batch_size: int) -> None:
        """Checks that batches can have this size.

        Raises:
            ValueError: the batch is larger than the data, or not positive.
        """
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"data {self.name!r}: a batch of {batch_size} out of {len(self)} datapoints; "
                f"choose a batch size from 1 to {len(self)}"
            )
