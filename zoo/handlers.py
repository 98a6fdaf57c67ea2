"""The messengers that objectives install on both model and guide.

A messenger changes what is written on a site, never the site's distribution or its value.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from pyro import poutine
from pyro.infer.util import is_validation_enabled
from pyro.poutine.messenger import Messenger
from pyro.poutine.trace_struct import Trace
from torch import Tensor
from torch.distributions import constraints

from zoo.estimators import Scores, scores
from zoo.program import Misfit
from zoo.sites import family, is_subsample, nodes_of, on_simplex


class ScorePairs(Messenger):
    """Writes on each latent site two functions that score samples, for the terms of q(z).

    - `score_own()`: the `Scores` of the site's values, each under its own datapoint's posterior.
    - `score_pairs(values)`: of values by site [S, ..., 1, size], the `Scores` of this site's values under every
      datapoint's posterior, [S, ..., B].

    A site whose distribution depends on earlier ones must name them in `infer["given"]` and have a function
    `infer["rerun"]`, as with `guides.Amortized`. The function maps values of some of these sites to the site's
    distribution; for the other sites it uses the values that each datapoint drew. So sample i is scored under
    q(z | x_j, c_i) if c_i is among the values, and under q(z | x_j, c_j) if it is not.

    Args:
        concrete: "mass" or "density"; see `zoo.estimators.scores`.

    Raises:
        ValueError: concrete is neither; or, from `score_pairs` with Pyro's validation on, a site that depends on others
            has random layers.
    """

    def __init__(self, concrete: Literal["mass", "density"]) -> None:
        super().__init__()
        if concrete not in ("mass", "density"):
            raise ValueError(f"concrete must be 'mass' or 'density', got {concrete!r}")
        self.concrete = concrete

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if not msg["is_observed"] and not is_subsample(msg):
            drawn = _Drawn(msg["name"])
            msg.update(
                concrete=self.concrete,
                drawn=drawn,
                score_own=partial(self._own, drawn),
                score_pairs=partial(self._pairs, drawn),
            )

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if "drawn" in msg:
            msg["drawn"].fill(msg)

    def _own(self, drawn: "_Drawn") -> Scores:
        return self._score(drawn.name, drawn.fn, drawn.value)

    def _pairs(self, drawn: "_Drawn", values: Mapping[str, Tensor]) -> Scores:
        value, rerun = values[drawn.name], drawn.infer.get("rerun")
        if rerun is None:
            return self._score(drawn.name, drawn.fn, value)
        before = _random_state(value) if is_validation_enabled() else None
        distribution = rerun(values)
        if before is not None and not torch.equal(before, _random_state(value)):
            raise ValueError(
                f"site {drawn.name!r}: its layers draw random numbers, as dropout does, and so would differ between a "
                "sample and its scores, which are computed anew given other sites; put the dropout into the trunk"
            )
        return self._score(drawn.name, distribution, value)

    def _score(self, name: str, distribution: Any, value: Tensor) -> Scores:
        try:
            return scores(distribution, value, concrete=self.concrete)
        except NotImplementedError:
            raise ValueError(
                f"site {name!r}: {family(distribution)} has no marginals per unit, which the terms of q(z) "
                "need; use a family that has them (in a guide: MeanField, FullRank, LowRank, Mixture, "
                "MeanFieldLaplace, MeanFieldStudentT, Concrete, StraightThrough, DirichletHead)"
            ) from None


class DrawPriors(Messenger):
    """Writes on each latent site of the model `draw_prior`, a function that samples its prior.

    The function is called after both traces are complete, so that they use the same random numbers as without it.
    """

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if not msg["is_observed"] and not is_subsample(msg):
            prior = _Drawn(msg["name"])
            msg.update(prior=prior, draw_prior=prior.draw)

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if "prior" in msg:
            msg["prior"].fill(msg)


class RunAgain(Messenger):
    """Writes on each latent site `run_again(x, trace)`: a trace of the same program, given x instead of its data.

    The data is the program's first argument. Each site has the value that it has in `trace`, so nothing is drawn, and
    messengers that are installed around the objective do not see this run. It wraps a program, as `RunAgain()(guide)`,
    and is not for a `with` block, which has no program to run again.

    Raises:
        ValueError: when called, if the program refuses x.
    """

    _again: Callable[[Tensor, Trace], Trace]

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The program under this messenger."""
        return super().__call__(partial(self._run, fn))

    def _run(self, program: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._again = partial(_run_again, program, args[1:], kwargs)
        return program(*args, **kwargs)

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if not msg["is_observed"] and not is_subsample(msg):
            msg["run_again"] = self._again


def _run_again(
    program: Callable[..., Any], others: Sequence[Any], named: Mapping[str, Any], x: Tensor, trace: Trace
) -> Trace:
    with poutine.block():
        try:
            return poutine.trace(poutine.replay(program, trace=trace)).get_trace(x, *others, **named)
        except Misfit as error:  # from a guide that runs the model, such as SemiAmortized
            raise ValueError(
                f"the guide cannot be run at x + r, near the data ({error}); use a guide that does not score the "
                "data, such as guides.Amortized"
            ) from error


class _Drawn:
    """A site's distribution, value and plates, filled in after the draw: its message has them only then.

    The functions on a message refer to this object and not to the message, so that no reference cycle keeps the
    tensors of a pass alive.
    """

    fn: Any
    value: Tensor
    infer: dict[str, Any]

    def __init__(self, name: str) -> None:
        self.name = name

    def fill(self, msg: dict[str, Any]) -> None:
        self.fn, self.value, self.infer = msg["fn"], msg["value"], msg["infer"]

    def draw(self) -> Tensor:
        """A new draw, with gradients where the family is reparameterised."""
        new: Tensor = self.fn.rsample() if self.fn.has_rsample else self.fn.sample()
        return new


class RefuseMisfits(Messenger):
    """On a replayed model: refuses a guide's value that the site cannot have, before the model uses it.

    Raises:
        ValueError: the guide's event has another shape, values outside the model's support, or values that are not
            finite.
    """

    def __init__(self, guide_trace: Trace) -> None:
        super().__init__()
        self.guide_trace = guide_trace

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        name, p = msg["name"], msg["fn"]
        if msg["is_observed"] or is_subsample(msg) or name not in self.guide_trace:
            return
        drawn = nodes_of(self.guide_trace)[name]
        q, value = drawn["fn"], drawn["value"]
        if p.event_shape != q.event_shape:
            raise Misfit(
                f"site {name!r}: the model's event has shape {tuple(p.event_shape)}, the guide's "
                f"{tuple(q.event_shape)}; give the head the model's size"
            )
        if not value.isfinite().all():
            raise Misfit(
                f"site {name!r}: the guide draws values that are not finite; check its parameters and the data"
            )
        # Densities on the simplex and on the reals are not comparable, although the values would pass the check.
        # A point mass has no density to compare.
        thin = on_simplex(p) != on_simplex(q) and type(q).__name__ != "Delta"
        inside = p.support.check(value)
        if not inside.all() and p.support is q.support is constraints.simplex:
            raise Misfit(
                f"site {name!r}: {int((~inside).sum())} of {inside.numel()} draws do not add up to 1 within 1e-6, by "
                "rounding: draw with the head Concrete, compute in float64, or raise the temperature"
            )
        if thin or not inside.all():
            raise Misfit(
                f"site {name!r}: the model's values lie in {p.support}, the guide's in {q.support}; "
                "use a head for the model's support"
            )


def _random_state(like: Tensor) -> Tensor:
    """The state of the random numbers that are drawn on the tensor's device."""
    return torch.cuda.get_rng_state(like.device) if like.is_cuda else torch.get_rng_state()
