"""What stories and guides need to be Pyro programs: parameters that SVI finds, the plate over the data, labels, and
relaxed types whose draws have a density.

Stories import it as `zoo.program`.
"""

import itertools
import operator
import re
from typing import Any, cast
from weakref import WeakValueDictionary

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.util import is_validation_enabled
from pyro.poutine.condition_messenger import ConditionMessenger
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.trace_struct import Trace
from torch import Tensor, nn

_count = itertools.count()
_registered: "WeakValueDictionary[str, nn.Parameter]" = WeakValueDictionary()


class Misfit(ValueError):
    """A ValueError that is one line: what does not fit, where, and what to do.

    Pyro wraps each error that leaves a traced program in a new one, with a table "Trace Shapes:" below it. This class
    drops the table, since the message is complete without it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(re.split(r"\n\s*Trace Shapes:", message)[0])


def register(module: nn.Module) -> None:
    """Registers the trainable parameters of `module` for `pyro.infer.SVI`, under names that no other module has.

    `pyro.module(name, module)` registers them under the given name. For a second instance with the same name, SVI would
    go on training the first one's parameters, and the second one's would silently stay as they are. Here every
    parameter tensor has a name of its own, so that a second instance, a deep copy or an unpickled one never reads
    another's values, and a network that two programs share is registered once. Under a messenger with the attribute
    `keeps_parameters`, which marks a training loop that holds the parameters itself, nothing is registered, and the
    messenger's `keep(module)` is called instead.

    Raises:
        ValueError: a parameter is not contiguous, or a loaded param store holds another tensor under its name.
    """
    for messenger in _PYRO_STACK:
        if getattr(messenger, "keeps_parameters", False):
            cast("Any", messenger).keep(module)
            return
    store = pyro.get_param_store()
    prefix = None
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if not parameter.is_contiguous():
            raise Misfit(f"parameter {name!r} is not contiguous, so Pyro would train a copy: make it contiguous")
        full_name = store.param_name(parameter)
        if full_name is None:
            _refuse_loaded(type(module).__name__)
            prefix = prefix or f"{type(module).__name__}-{next(_count)}"
            full_name = f"{prefix}$$${name}"  # the divider that Pyro's optimisers expect
            _registered[full_name] = parameter
        pyro.param(full_name, parameter)
        stored = dict(store.named_parameters()).get(full_name, parameter)  # on the reals, as a PyroParam of a module is
        if stored is not parameter:
            _refuse(full_name)


def _refuse_loaded(kind: str) -> None:
    """Refuses a param store with parameters of this kind of module that no module in this process has registered."""
    store = pyro.get_param_store()
    for full_name in store.keys():  # noqa: SIM118
        prefix, divider, _ = full_name.partition("$$$")
        if divider and prefix.rpartition("-")[0] == kind and store[full_name] is not _registered.get(full_name):
            _refuse(full_name)


def _refuse(full_name: str) -> None:
    raise Misfit(
        f"the param store holds a tensor under {full_name!r} that is not the module's, as after "
        "pyro.get_param_store().load(): SVI would train that tensor and leave the module unchanged; call "
        "pyro.clear_param_store(), and keep weights by module.state_dict() and load_state_dict()"
    )


def picklable_state(module: nn.Module) -> dict[str, Any]:
    """The state of `module` for pickle, without the weak references that the param store leaves on parameters."""
    for parameter in module.parameters():
        parameter.__dict__.pop("unconstrained", None)
    return module.__dict__


def conditioned_on(site: str) -> Tensor | None:
    """The value that `poutine.condition` around the program has for a site, if there is one."""
    for messenger in reversed(_PYRO_STACK):
        if isinstance(messenger, ConditionMessenger) and site in messenger.data:
            data: Any = messenger.data
            value: Tensor | None = data.nodes[site]["value"] if isinstance(data, Trace) else data[site]
            return value
    return None


def data_plate(x: Tensor | None, index: Tensor | None, num_data: int | None) -> pyro.plate:
    """The plate "data" of a batch of B datapoints.

    With `index`, the positions [B] of the datapoints in the data, its size is `num_data`, and Pyro scales log p from
    the batch to the data. Without `index` the batch is all of the data. Without x one datapoint is drawn, or as many as
    there are values of "x" or "y" in a `poutine.condition` around the program.

    Raises:
        ValueError: the batch is not a tensor, or has no datapoints; `index` comes without `num_data`, or is not one
            integer per datapoint; or (checked where Pyro's validation is on) an integer is not from 0 to num_data - 1.
    """
    for site in ("x", "y"):
        x = conditioned_on(site) if x is None else x
    check_tensors(x=x, index=index)
    if x is not None and not len(x):
        raise Misfit(f"the batch has no datapoints: got data of shape {list(x.shape)}")
    if index is None:
        return pyro.plate("data", 1 if x is None else len(x))
    if num_data is None:
        raise Misfit("a batch with index= needs the size of the data: give num_data= when building the program")
    if index.dim() != 1 or (x is not None and len(index) != len(x)):
        raise Misfit(
            f"index must hold one integer per datapoint, got shape {tuple(index.shape)}"
            + ("" if x is None else f" for {len(x)} datapoints")
        )
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise Misfit(f"index must hold integers, got {index.dtype}")
    index, num_data = index.long(), whole("num_data", num_data)  # PyTorch reads uint8 as a mask
    if len(index) > num_data:
        raise Misfit(f"a batch of {len(index)} out of num_data = {num_data} datapoints: num_data is too small")
    if is_validation_enabled() and (wrong := (index < 0) | (index >= num_data)).any():
        raise Misfit(
            f"index goes from 0 to num_data - 1 = {num_data - 1}, got {int(index[wrong][0])}: num_data is the "
            "size of the whole training set"
        )
    plate = _InOrderOf if len(index) == num_data else pyro.plate
    return plate("data", num_data, subsample=index)


class _InOrderOf(pyro.plate):
    """A plate over all of the data, in the order of its index or with repeats.

    Parameters and `pyro.subsample` with an event_dim have a row for each datapoint. Pyro selects the rows of the index
    where the batch is a part of the data only.
    """

    def _postprocess_message(self, msg: Any) -> None:
        super()._postprocess_message(msg)
        event_dim = msg["kwargs"].get("event_dim") if msg["type"] in ("param", "subsample") else None
        if event_dim is None:
            return
        dim, value = cast("int", self.dim) - event_dim, msg["value"]
        if value.dim() >= -dim and value.shape[dim] != 1:
            msg["value"] = value.index_select(dim, cast("Tensor", self._indices).to(value.device))


def check_tensors(**values: Any) -> None:
    """Refuses arrays, lists and whatever else is not a tensor, by the argument's name.

    Raises:
        ValueError: a value is neither a tensor nor None.
    """
    for name, value in values.items():
        if value is not None and not isinstance(value, Tensor):
            raise Misfit(f"{name} must be a tensor, got {type(value).__name__}; torch.as_tensor({name}) makes one")


def check_rows(x: Tensor, index: Tensor | None, num_data: int) -> None:
    """Checks that a guide with a row for each of `num_data` datapoints knows which of them a batch x [B, ...] has.

    Raises:
        ValueError: there is no index, and the batch has another size than the data.
    """
    if index is None and len(x) != num_data:
        raise Misfit(
            f"a guide with a row per datapoint needs to know which of its {num_data} datapoints these {len(x)} are: "
            "give index=, as fit does; for other data, which has no rows, use Amortized"
        )


def one_hot(y: Tensor, classes: int, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Labels y [B], integers from 0, as rows of the identity, [B, classes], for a batch `like` of B datapoints.

    The rows have the given type, or else that of `like` if it holds floats. The labels' range is checked where Pyro's
    validation is on.

    Raises:
        TypeError: y does not hold integers.
        ValueError: y is not a tensor, not one label per datapoint, or a label is out of range.
    """
    check_tensors(y=y)
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"labels y must be integers from 0 to {classes - 1}, got {y.dtype}; for whole floats, y.long()")
    if y.shape != like.shape[:1]:
        raise Misfit(
            f"labels y must hold one integer per datapoint, [{len(like)}], got shape {list(y.shape)}"
            + ("; y.argmax(-1) makes labels of one-hot rows" if y.dim() == 2 else "")
        )
    y = y.long()  # PyTorch reads uint8 as a mask
    if is_validation_enabled() and (wrong := (y < 0) | (y >= classes)).any():
        at = int(wrong.nonzero()[0])
        raise Misfit(
            f"labels y go from 0 to {classes - 1}, got {int(y[at])} for datapoint {at} of the batch; "
            "renumber the classes from 0, or build the pair for more of them; a batch without labels comes without y"
        )
    if dtype is None and like.is_floating_point():
        dtype = like.dtype
    return torch.eye(classes, dtype=dtype, device=y.device)[y]


def whole(what: str, value: int, *, least: int = 1) -> int:
    """Returns the value after checking that it is an integer of at least `least`; 10.0 and True are refused.

    Raises:
        ValueError: the value is less, or not an integer.
    """
    try:
        number = operator.index(value)
    except (TypeError, RuntimeError):  # the second of a tensor of several
        number = least - 1
    if number >= 2**63:
        raise ValueError(f"{what} must be below 2^63, got {value}")
    if isinstance(value, bool) or number < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, got {shown(value)}")
    return number


def shown(value: Any) -> str:
    """A value as a message shows it, in one line."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{type(value).__name__} of {value.dtype} {list(value.shape)}"
    text = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
    return text if len(text) <= 80 and "\n" not in text else type(value).__name__


class RelaxedOneHotCategorical(dist.RelaxedOneHotCategorical):
    """Pyro's relaxed one-hot categorical, with draws that have a density at every temperature.

    In float32, at temperatures below about 0.2, some of torch's draws add up to 1 only within 1e-5, which its own check
    of the support refuses, and small entries are rounded to 0, where the density is not a number. Here a draw is
    divided by its sum, and no entry is smaller than the smallest normal number.
    """

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws [*sample_shape, *batch, size] with gradients."""
        drawn: Tensor = self.base_dist.rsample(sample_shape).softmax(-1)
        return drawn.clamp(min=torch.finfo(drawn.dtype).tiny)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws [*sample_shape, *batch, size]."""
        with torch.no_grad():
            return self.rsample(sample_shape)
