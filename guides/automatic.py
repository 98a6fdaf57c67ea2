"""Pyro's autoguides for a zoo story: parameters per datapoint, one guide site per model site, unique names."""

import inspect
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.util import is_validation_enabled
from pyro.infer.autoguide import AutoContinuous, AutoGaussian, AutoGuide, AutoNormal, AutoStructured
from pyro.nn import PyroModule
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import biject_to, constraints

from guides.program import Misfit, check_rows, check_tensors, data_plate, picklable_state, shown, whole

_count = itertools.count()


class Automatic(nn.Module):
    """One of Pyro's autoguides, for the latents of each datapoint.

        guide = Automatic(model, num_data=len(train))              # AutoNormal
        guide = Automatic(model, AutoDelta, num_data=len(train))

    The parameters are a row for each datapoint, and a batch uses the rows of its index. AutoNormal samples each site by
    two statements: a normal on the reals, and the value that it is mapped to. Here they are one statement with their
    joint density, so that objectives see the model's sites.

    .. warning::
        As with `PerDatapoint`, the guide cannot be applied to data that it was not trained on. Kinds other than
        AutoNormal and AutoDelta have one latent for all datapoints together (AutoDiagonalNormal, too), and need all of
        the data, in their order, in each batch. The parameters exist after the first call only, as with any autoguide:
        an optimiser that is built earlier does not train them. `zoo.lab.training.fit` makes that call.

    Args:
        model: the story.
        kind: the class of the autoguide.
        num_data: the number of datapoints in the training set; needed for batches with `index`.
        options: of the autoguide.

    Raises:
        ValueError: at a call, if the autoguide cannot map the reals to a site's support, or has no rows for the batch.

    Example:
        >>> import torch
        >>> def model(x, *, index=None):
        ...     with pyro.plate("data", len(x)):
        ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        ...         pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)
        >>> Automatic(model)(torch.zeros(3, 2))["z"].shape
        torch.Size([3, 2])
    """

    def __init__(self, model: Any, kind: Any = AutoNormal, *, num_data: int | None = None, **options: Any) -> None:
        super().__init__()
        if not callable(model) or isinstance(model, type):
            raise TypeError(f"Automatic: model must be a story, such as VAE(decoder, z_dim=10), got {shown(model)}")
        if not isinstance(kind, type) or not issubclass(kind, AutoGuide):
            raise TypeError(f"Automatic: kind must be a class of pyro.infer.autoguide, got {shown(kind)}")
        num_data = None if num_data is None else whole("Automatic: num_data", num_data)
        if "create_plates" in inspect.signature(kind).parameters:
            options["create_plates"] = partial(_plate, num_data)
        # Built at the first call: a copy of an autoguide that was not called yet has lost its model.
        self.build: list[Callable[[], Any]] = [partial(kind, model, **options)]
        self.num_data = num_data
        couples = issubclass(kind, (AutoContinuous, AutoGaussian, AutoStructured))
        self.coupled = kind.__name__ if couples else None
        self.autoguide: Any = None

    def forward(self, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None) -> Any:
        """Samples every site for the batch x [B, ...]. Returns the values by site.

        Raises:
            ValueError: the batch is not made of tensors; there is no index, and the batch has another size than the
                data (`num_data`, or else the size of the first call's); the kind couples all datapoints, and the batch
                is not all of them in their order (the order is checked where Pyro's validation is on); or the autoguide
                cannot map the reals to a site's support.
        """
        check_tensors(x=x, y=y, index=index)
        if self.num_data is None and index is None:
            self.num_data = len(x)
        if self.num_data is not None:
            check_rows(x, index, self.num_data)
            if self.coupled:
                _check_whole(self.coupled, x, index, self.num_data)
        if self.build:
            build: Any = self.build.pop()
            self.autoguide = build()
            self._rename()
        with _OneSite(self.autoguide):
            try:
                return self.autoguide(*((x,) if y is None else (x, y)), index=index)
            except NotImplementedError as error:  # as for the support of a mixture
                reason = str(error).partition("\n")[0]
                if reason and "constraint" not in reason and "support" not in reason:
                    raise  # a program of the user's has not implemented something
                raise ValueError(
                    f"{type(self.autoguide).__name__} cannot map the reals to a site's support ({reason}); use "
                    "PerDatapoint, whose heads have the support"
                ) from error

    def _rename(self) -> None:
        # The param store identifies an autoguide's parameters by name: a second autoguide would read the first one's.
        if self.autoguide is None:
            return
        before, after = self.autoguide._pyro_name, f"{type(self.autoguide).__name__}-{next(_count)}"
        for module in self.autoguide.modules():
            if isinstance(module, PyroModule):
                module._pyro_name = after + module._pyro_name.removeprefix(before)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._rename()


class _OneSite(Messenger):
    """Merges AutoNormal's two sample statements per site into one."""

    def __init__(self, autoguide: Any) -> None:
        super().__init__()
        self.autoguide = autoguide
        self.unconstrained: dict[str, Any] = {}

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if msg["infer"].get("is_auxiliary") and name.endswith("_unconstrained"):
            self.unconstrained[name.removesuffix("_unconstrained")] = msg["fn"]
            msg["stop"] = True
        elif name in self.unconstrained:
            fn = self.unconstrained.pop(name)
            support = self.autoguide.prototype_trace.nodes[name]["fn"].support
            real = (
                support in (constraints.real, constraints.real_vector)
                or getattr(support, "base_constraint", None) is constraints.real
            )
            msg["fn"] = fn if real else dist.TransformedDistribution(fn, [biject_to(support)])


def _plate(num_data: int | None, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None) -> pyro.plate:
    return data_plate(x, index, num_data)


def _check_whole(kind: str, x: Tensor, index: Tensor | None, num_data: int) -> None:
    """Checks that a batch x [B, ...] is all of the data in their order, as one latent for all datapoints needs it."""
    batch = f"{len(x)} of {num_data} datapoints"
    if len(x) == num_data:
        if index is None or not is_validation_enabled() or index.equal(torch.arange(num_data, device=index.device)):
            return
        batch = "all of them in another order"
    raise Misfit(
        f"{kind} has one latent for all datapoints, so each batch must be all of the data in their order, and this one "
        f"is {batch}: give x without index=, or use AutoNormal, AutoDelta or PerDatapoint, which have a row for each"
    )
