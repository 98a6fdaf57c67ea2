"""Checks that a model and a guide fit each other, on their traces, before anything is computed from them."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from pyro.poutine.indep_messenger import CondIndepStackFrame
from pyro.poutine.trace_struct import Trace
from pyro.util import check_model_guide_match
from torch import Tensor, nn

from zoo.arguments import shown
from zoo.likelihoods import check_finite
from zoo.program import Misfit
from zoo.sites import PLATES, Site, family, is_masked, latent, mask_of, nodes_of, observed, plates_of, same, summed_out

HALF = (torch.bfloat16, torch.float16)


class NoClosedKL(ValueError):
    """The closed form of a site's KL is not a part of the ELBO; `kl="sampled"` estimates it from the guide's draw."""


class SampledKLWarning(UserWarning):
    """A site's KL has no closed form, and is estimated from the guide's draw."""


def check_call(programs: Iterable[Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuses a program whose `forward` does not accept the arguments of a batch.

    Raises:
        TypeError: there is an argument too many or too few; the message names the program, its signature and the
            arguments.
    """
    for program in programs:
        if not isinstance(program, nn.Module):
            continue
        takes = inspect.signature(program.forward)
        try:
            takes.bind(*args, **kwargs)
        except TypeError as error:
            # Shown without annotations, so that the signature is short enough to read.
            plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in takes.parameters.values()]
            named = [name for name, _ in zip(("x", "y"), args, strict=False)] + [f"{name}=..." for name in kwargs]
            short = takes.replace(parameters=plain, return_annotation=takes.empty)
            raise TypeError(
                f"{type(program).__name__}.forward{short} cannot be called with ({', '.join(named)}): {error}; a "
                "program is called with its batch as (x, y=None, *, index=None), with y only where the batch has labels"
            ) from None


@contextmanager
def explaining(programs: Mapping[str, Any], x: Any) -> Iterator[None]:
    """Explains an error of PyTorch by the batch: its type, its device, or values that are not finite.

    PyTorch's errors are about matrices, and about a distribution's parameters. The batch is not checked before the pair
    runs, since a network of yours may convert it.

    Args:
        programs: those that run in the block, by what they are called in the message.
        x: the batch.

    Raises:
        ValueError: the batch is why a program failed; the message says what to change.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(x, Tensor) and x.is_floating_point():
            said, *_ = str(error).splitlines() or [""]
            if said.startswith("Expected parameter"):
                check_finite(x)
            for word, what in (("type", "dtype"), ("device", "device")):
                if isinstance(error, RuntimeError) and word in said:
                    _check_same(what, programs, x)
        raise


def _check_same(what: str, programs: Mapping[str, Any], x: Tensor) -> None:
    kinds = {"x": [x], **{name: _weights(program) for name, program in programs.items()}}
    halves = {name: {str(t.dtype) for t in tensors if t.dtype in HALF} for name, tensors in kinds.items()}
    if what == "dtype" and (halved := {name: dtypes for name, dtypes in halves.items() if dtypes}):
        said = ", ".join(f"{name}: {' and '.join(sorted(dtypes))}" for name, dtypes in halved.items())
        raise Misfit(
            f"x or weights are in half precision ({said}), but heads draw in float32: call .float() on x, on the model "
            "and on the guide; fit(..., precision='bf16') then computes their networks in bfloat16"
        )
    found = {name: {str(getattr(tensor, what)) for tensor in tensors} for name, tensors in kinds.items() if tensors}
    if len(set().union(*found.values())) > 1:
        said = ", ".join(f"{name}: {' and '.join(sorted(values))}" for name, values in found.items())
        raise Misfit(f"the {what}s differ ({said}); convert x by x.to(...), or convert the weights")


def _weights(program: Any) -> list[Tensor]:
    parameters = program.parameters() if isinstance(program, nn.Module) else ()
    return [parameter for parameter in parameters if parameter.is_floating_point()]


def check_sites(model_trace: Trace, guide_trace: Trace) -> None:
    """Refuses a model and a guide whose latent sites differ, except for auxiliary ones; and a guide that observes."""
    in_model, in_guide = dict(latent(model_trace)), _paired(guide_trace)

    def refuse(what: str) -> NoReturn:
        raise ValueError(f"{what}; the model has the latent sites {list(in_model)}, the guide {list(in_guide)}")

    if watched := [name for name, _ in observed(guide_trace)]:
        raise ValueError(
            f"the guide observes site {watched[0]!r}, as pyro.factor does: its log density is not part of the "
            "objective; put it into the model"
        )
    if missing := in_model.keys() - in_guide.keys():
        refuse(f"the guide has no site {sorted(missing)}: give it a head, as in Amortized(trunk, z=MeanField(10))")
    if extra := in_guide.keys() - in_model.keys():
        refuse(f"the model has no latent site {sorted(extra)}: remove the head, or do not observe the site")


def check_pair(model_trace: Trace, guide_trace: Trace, max_plate_nesting: float) -> None:
    """Refuses a model and a guide whose sites do not fit, before a number is computed from them."""
    check_sites(model_trace, guide_trace)
    in_model = dict(latent(model_trace))
    for name, site in _paired(guide_trace).items():
        for what in ("scale", "mask"):
            if not same(in_model[name][what], site[what]):
                raise ValueError(
                    f"site {name!r}: the {what} differs between model ({in_model[name][what]}) and guide "
                    f"({site[what]}); a scale or mask on a latent must be in both, and both plates need num_data"
                )
        if not summed_out(site) and not same(mask_of(in_model[name]["fn"]), mask_of(site["fn"])):
            raise ValueError(
                f"site {name!r}: the mask of its distribution differs between model and guide; give both the same "
                ".mask(...), or use poutine.mask around model and guide"
            )
    check_model_guide_match(model_trace, guide_trace, max_plate_nesting)


def check_observed(model_trace: Trace) -> None:
    """Refuses a relaxed type that is observed at a one-hot value, which has no density: log p would be NaN."""
    for name, site in observed(model_trace):
        relaxed = family(site["fn"]).startswith("RelaxedOneHotCategorical")
        if relaxed and not torch.as_tensor(site["value"]).gt(0).all():
            raise ValueError(
                f"site {name!r} is observed at a value with entries of 0, such as a one-hot one, where "
                f"{family(site['fn'])} has no density; observe it in a story with one-hot types (temperature=None), or "
                "give it a value whose entries are all positive"
            )


def check_room(guide_trace: Trace, trace: Trace, room: int) -> None:
    """Refuses a trace with more plates than fit to the right of the dimensions that the guide sums out."""
    if any(summed_out(site) for _, site in latent(guide_trace)):
        frames = [frame for node in nodes_of(trace).values() for frame in _frames(node)]
        deepest = min(frames, key=lambda frame: int(frame.dim or 0), default=None)
        if deepest is not None and -int(deepest.dim or 0) > room:
            raise ValueError(
                f"plate {deepest.name!r} is at dimension {deepest.dim}, of {-int(deepest.dim or 0)} plates; a pair "
                f"with a site that is summed out may nest {room}, particles included"
            )


def check_plates(guide_trace: Trace, trace: Trace) -> None:
    """Refuses a site with a dimension that none of its plates has, such as data [B, 1] for a likelihood [B].

    By broadcasting, each datapoint would be scored under every other one's distribution. Also refused are a site
    outside of a plate that depends on a site which is summed out inside it; a site of the guide that is to be summed
    out in a way of Pyro that is not supported, or that has some draws instead of all its classes ("num_samples"); and a
    summed-out site with a mask in its distribution.

    Args:
        guide_trace: of the pair's guide, for the sites that are summed out.
        trace: to be checked, of the guide or of the model.
    """
    classes = {name: site for name, site in latent(guide_trace) if summed_out(site)}
    if masked := [name for name, site in classes.items() if is_masked(site["fn"])]:
        raise ValueError(
            f"site {masked[0]!r} is summed out and has a mask in its distribution, under which its probabilities do "
            "not add up to 1; use poutine.mask around model and guide instead"
        )
    for name, site in latent(guide_trace):
        if (how := site["infer"].get("enumerate")) not in (None, "parallel"):
            raise ValueError(
                f'site {name!r}: infer={{"enumerate": {how!r}}} in the guide would draw the site; give "parallel", as '
                'the head Exact does, to sum it out, or leave out "enumerate" to draw it'
            )
    if some := [name for name, site in classes.items() if site["infer"].get("num_samples") is not None]:
        raise ValueError(
            f'site {some[0]!r}: with "num_samples" beside "enumerate" in infer=, the site has some draws and not all '
            'of its values; remove "num_samples" to sum it out, or both to draw it'
        )
    for name, site in [*latent(trace), *observed(trace)]:
        event, value, plates = site["fn"].event_shape, torch.as_tensor(site["value"]).shape, site["cond_indep_stack"]
        sizes = {-int(frame.dim or 0): frame.size for frame in plates}
        for what, batch in (("distribution", site["fn"].batch_shape), ("value", value[: len(value) - len(event)])):
            for other, summed in classes.items():
                dim = -summed["infer"]["_enumerate_dim"]
                if len(batch) >= dim and batch[-dim] > 1 and not plates_of(summed) <= plates_of(site):
                    raise ValueError(
                        f"site {name!r} depends on {other!r}, which is summed out in the plate "
                        f"{min(plates_of(summed) - plates_of(site))!r}, and {name!r} is outside of this plate; use a "
                        f"head for {other!r} that draws it, such as Concrete, or put {name!r} into the plate"
                    )
            sized = enumerate(reversed(batch[-PLATES:] if classes else batch), start=1)
            if any(size not in (1, sizes.get(dim, 1)) for dim, size in sized):
                said = ", ".join(f"{frame.name!r} of {frame.size}" for frame in plates) or "none"
                raise ValueError(
                    f"site {name!r}: its {what} has the shape {[*batch, *event]}, in which {list(event)} is the event, "
                    f"but its plates are {said}, so {list(batch)} does not fit; give each dimension a plate, make it "
                    "part of the event by .to_event(...), or reshape the data"
                )


def check_terms(objective: str, terms: Any) -> None:
    """Refuses what an objective's `terms` returned, unless it is 0-dim tensors by name."""
    wrong = None
    if not isinstance(terms, Mapping) or not terms:
        wrong = f"returned {terms!r}" if isinstance(terms, Mapping) else f"returned {shown(terms)}"
    for name, term in terms.items() if isinstance(terms, Mapping) else ():
        if not isinstance(term, Tensor) or term.dim():
            wrong = f"has {shown(term)} for {name!r}"
    if wrong:
        raise ValueError(
            f"{objective}.terms() must return one or more 0-dim tensors by name, in nats per datapoint, and {wrong}; "
            "site['nats'].sum() is the nats of a site"
        )


def check_order(model_trace: Trace, guide_trace: Trace, closed: Iterable[str]) -> None:
    """Refuses a closed-form KL of a site whose prior depends on another site that the guide draws given this one.

    KL(q(z | earlier) || p(z | parents)) is a part of the ELBO if z is independent of its parents in the model, under q
    and given what q(z) depends on. That holds for every parent that the guide does not draw given z.

    Args:
        model_trace, guide_trace: under `zoo.parents.MarkParents`.
        closed: the latent sites whose KL is computed in closed form.
    """
    ancestors: dict[str, set[str]] = {}
    for name, site in latent(guide_trace):
        looked_at = site.get("parents", frozenset())
        ancestors[name] = set(looked_at).union(*(ancestors.get(parent, ()) for parent in looked_at))
    for name in closed:
        parents = nodes_of(model_trace)[name].get("parents", ()) if name in model_trace else ()
        for parent in sorted(parents):
            if name in ancestors.get(parent, ()):
                raise NoClosedKL(
                    f"site {name!r}: its prior depends on {parent!r}, which the guide draws given {name!r}, so its KL "
                    f"has no closed form; use kl={{{name!r}: 'sampled'}}, or a guide that draws {parent!r} first"
                )


def _paired(guide_trace: Trace) -> dict[str, Site]:
    """The guide's latent sites that the model must have."""
    return {name: site for name, site in latent(guide_trace) if not site["infer"].get("is_auxiliary")}


def _frames(node: Site) -> Sequence[CondIndepStackFrame]:
    frames: Sequence[CondIndepStackFrame] = node["cond_indep_stack"] if node["type"] == "sample" else ()
    return frames
