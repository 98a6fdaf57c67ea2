"""The public functions, each with arguments that are right; one of them at a time is then replaced by a near miss.

Which near misses an argument gets follows from its annotation; `more` are those that an annotation cannot tell. What is
accepted on purpose is in ACCEPTED, with the reason.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import nn

import guides
import zoo
from tests.bad_inputs.near_misses import near_misses
from tests.pairs import NUM_DATA, SHAPE, Z_DIM, images
from tests.small_recipe import RECIPES
from zoo import elbos, metrics, papers
from zoo.lab import analysis, networks
from zoo.lab.data import Batch, Dataset, Factors, absolute, data_folder, load
from zoo.lab.data.split import split
from zoo.lab.device import find_device
from zoo.lab.runs import checkpoint
from zoo.lab.runs.finished import configure, open_run
from zoo.lab.runs.train import Every
from zoo.lab.story import docstring_lines, story
from zoo.lab.training import adam, fit, prepare, ramp
from zoo.lab.training.adversary import Adversary
from zoo.lab.trials.backends import open_backend
from zoo.lab.trials.sweep import sweep
from zoo.lab.trials.sweep_plan import plan_sweep
from zoo.studies import estimator_bias
from zoo.studies.guide_gap import comparison
from zoo.studies.guide_gap import measure as gap

NAN, INF, HUGE = float("nan"), float("inf"), 10**22


@dataclass(frozen=True)
class Function:
    """A public function.

    Attributes:
        call: the function.
        right: makes arguments that it accepts.
        more: near misses of an argument that its annotation does not tell.
        places: other names under which a message may name an argument.
        finish: what is done with the result, where the function is lazy.
        works: whether the right arguments are enough for a result; if not, the folder or the name is not there.
    """

    call: Callable[..., Any]
    right: Callable[[], Mapping[str, Any]]
    more: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    finish: Callable[[Any], Any] = lambda result: result
    works: bool = True

    @property
    def name(self) -> str:
        """Its name with its package, as a person imports it."""
        return f"{self.call.__module__}.{self.call.__qualname__}"

    def near_misses(self, argument: str) -> list[Any]:
        """What is wrong in the argument's place: what its annotation does not allow, except its default, and `more`."""
        default = inspect.signature(self.call).parameters[argument].default
        wrong = [value for value in near_misses(self.annotations[argument]) if value is not default]
        return [*wrong, *self.more.get(argument, ())]

    @property
    def annotations(self) -> dict[str, Any]:
        """The annotation of each argument."""
        parameters = inspect.signature(self.call).parameters.values()
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]
        # A text is an alias of types that are known to mypy alone.
        return {p.name: Any if isinstance(p.annotation, str) else p.annotation for p in named}


# Arguments that are right. They are made once: what is refused changes nothing.


@cache
def model() -> nn.Module:
    return zoo.VAE(networks.MLPDecoder(Z_DIM, SHAPE, hidden=(4,)), z_dim=Z_DIM, num_data=NUM_DATA)


@cache
def guide() -> nn.Module:
    trunk = networks.MLPEncoder(SHAPE, hidden=(4,))
    return guides.Amortized(trunk, z=guides.MeanField(Z_DIM), num_data=NUM_DATA)


@cache
def data() -> Dataset:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 3, (NUM_DATA, 2))
    return Dataset.from_arrays(images(NUM_DATA), np.arange(NUM_DATA) % 3, factors={"a": table[:, 0], "b": table[:, 1]})


@cache
def batch() -> Batch:
    return Batch(images(8), None, torch.arange(8))


@cache
def codes() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 3))


@cache
def factors() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 3, (60, 2))


def pair(**more: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"model": model(), "guide": guide(), **{k: v() if callable(v) else v for k, v in more.items()}}


def metric(**more: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"codes": codes(), "factors": factors(), "repeats": 2, **more}


def densities(**more: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "codes": dist.Normal(torch.from_numpy(codes()), 0.5).to_event(1),
        "factors": factors(),
        "repeats": 2,
        "num_samples": 20,
        **more,
    }


CODES = (None, 3, "codes", {}, [], np.ones(60), np.full((60, 3), NAN), np.ones((5, 3)), [["a"]], nn.Linear)
FACTORS = ("factors", 3, np.ones((59, 2), int), np.full((60, 2), 0.5), {}, [["a"]])
METRIC: dict[str, Any] = {
    "more": {"codes": CODES, "factors": (np.ones((59, 2), int), np.full((60, 2), 0.5)), "repeats": (0, 1), "seed": ()},
    "places": {"codes": ("encoder", "types"), "factors": ("factor", "data set", "categorical")},
}
LATENTS = {"z": torch.zeros(1, Z_DIM, dtype=torch.float64)}
SITES = analysis.LatentSites({"z": 2}, {"c": 3})


def story_of(decoder_in: int, **more: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"decoder": networks.MLPDecoder(decoder_in, SHAPE, hidden=(4,)), "num_data": NUM_DATA, **more}


POSITIVE = (0, -1.0)
COUNT = (0,)
SIZE = {"size": ("site", "categorical")}

FUNCTIONS: tuple[Function, ...] = (
    # Metrics.
    *(
        Function(measure, metric(**more), **METRIC)
        for measure, more in (
            (metrics.attribute_accuracy, {"factors": (factors() > 0).astype(int)}),
            (metrics.clusters, {"codes": dist.OneHotCategorical(torch.ones(60, 3)), "factors": factors()[:, 0]}),
            (metrics.dci, {"regressor": "lasso"}),
            (metrics.explicitness, {}),
            (metrics.factor_correlations, {}),
            (metrics.factor_vae, {"num_points": 4, "num_train": 20, "num_eval": 20}),
            (metrics.higgins_logistic, {"num_pairs": 4, "num_train": 20, "num_eval": 20}),
            (metrics.higgins_svm, {"num_pairs": 4, "num_train": 20, "num_eval": 20}),
            (metrics.hoyer, {}),
            (metrics.information_among_codes, {}),
            (metrics.information_of_means, {}),
            (metrics.irs, {}),
            (metrics.latent_correlations, {}),
            (metrics.mig, {}),
            (metrics.modularity, {}),
            (metrics.neighbours, {}),
            (metrics.sap, {}),
            (metrics.total_correlation_gaussian, {}),
            (metrics.wasserstein_correlation, {}),
            (metrics.wasserstein_correlation_normed, {}),
        )
    ),
    *(
        Function(measure, densities(**more), **METRIC)
        for measure, more in (
            (metrics.information_about_data, {}),
            (metrics.information_about_data_by_latent, {}),
            (metrics.information_about_factors, {}),
            (metrics.mig_aggregate, {}),
            (metrics.mig_unnormalised, {"unit": "z_0"}),
            (metrics.total_correlation, {}),
        )
    ),
    Function(metrics.mig, metric(), {"num_bins": (0, 1)}),
    Function(metrics.dci, metric(regressor="lasso"), {"alpha": POSITIVE, "max_depths": ([], [0])}),
    Function(metrics.dci, metric(regressor="forest"), {"num_trees": COUNT}),
    Function(
        metrics.sap,
        metric(),
        {"C": POSITIVE, "test_share": (0, 1, 1.5, -0.5), "continuous": (["nosuch"],)},
        {"continuous": ("factor",)},
    ),
    Function(metrics.explicitness, metric(), {"test_share": (0, 1, 1.5, -0.5)}),
    Function(metrics.irs, metric(), {"quantile": (-0.1, 1.5), "prune": (-1.0,)}),
    Function(
        metrics.factor_vae,
        metric(num_points=4, num_train=20, num_eval=20),
        {"num_points": (0, 1), "num_train": COUNT, "num_eval": COUNT, "prune": (-1.0,)},
    ),
    Function(
        metrics.higgins_svm,
        metric(num_pairs=4, num_train=20, num_eval=20),
        {"num_pairs": COUNT, "num_train": COUNT, "num_eval": COUNT, "C": POSITIVE},
    ),
    Function(metrics.total_correlation, densities(), {"num_samples": (0, HUGE)}),
    Function(
        metrics.npmi, lambda: {"topics": [[0, 1], [1, 2]], "documents": np.eye(20, 4, dtype=int) + 1, "repeats": 2}
    ),
    Function(metrics.perplexity, lambda: {"nats": np.ones(20), "words": np.ones(20), "repeats": 2}),
    Function(
        metrics.udr,
        lambda: {"models": [codes(), codes()[:, ::-1].copy()], "repeats": 2},
        {"models": (None, 3, codes(), "models", []), "alpha": POSITIVE, "threshold": (-1.0,), "num_points": COUNT},
        {"models": ("codes",)},
    ),
    Function(
        metrics.suite,
        lambda: {"codes": codes(), "data": factors(), "repeats": 2, "progress": False},
        {"codes": CODES},
        {"codes": ("encoder",)},
    ),
    Function(
        metrics.Encoded.of,
        lambda: {"codes": codes(), "factors": factors()},
        {"codes": CODES, "factors": FACTORS, "num_points": COUNT, "batch_size": COUNT},
        {"codes": ("encoder",), "factors": ("factor",)},
    ),
    # Data.
    Function(load, lambda: {"name": "digits"}, {"name": ("digitz", "no.npz", "/nowhere/x")}, {"name": ("data",)}),
    Function(absolute, lambda: {"name": "digits"}),
    Function(data_folder, lambda: {"folder": "data"}),
    Function(
        Dataset.from_arrays,
        lambda: {"x": images(6), "y": np.arange(6) % 2},
        {
            "x": (None, 3, "x", [], {}, np.full((3, 2), NAN), np.empty((0, 2)), np.array(["a"]), np.array([None])),
            "y": (3, "y", [0], [0.5] * 6, [-1] * 6, [None] * 6, np.zeros((6, 2), int)),
            "classes": (["a"],),
            "factors": (3, "factors", {"a": [1]}, {}),
            "x_max": (0, -1.0),
        },
    ),
    Function(
        Dataset.batches, lambda: {"self": data(), "batch_size": 8, "seed": 0, "steps": 1}, {"batch_size": (0, 71)}
    ),
    Function(Dataset.in_order, lambda: {"self": data(), "batch_size": 8}, {"batch_size": COUNT}),
    Function(
        Dataset.sample,
        lambda: {"self": data(), "count": 3},
        {"fixed": ({"nosuch": 0}, {"a": 9})},
        {"fixed": ("factor",)},
    ),
    Function(
        Dataset.subset,
        lambda: {"self": data(), "rows": np.arange(3)},
        {"rows": (np.array([99]), np.array([0.5]))},
        {"rows": ("datapoints",)},
    ),
    Function(Dataset.binarised, lambda: {"self": Dataset.from_arrays(np.ones((3, 2, 2), np.uint8)), "how": "static"}),
    Function(Dataset.check, lambda: {"self": data(), "batch_size": 8}, {"batch_size": (0, 71, HUGE)}),
    Function(Factors.of, lambda: {"factors": {"a": [0, 1]}}, {"factors": (None, 3, "a", {}, {"a": [0], "b": [0, 1]})}),
    Function(Factors.grid, lambda: {"values": {"a": [0, 1]}}, {"values": ({"a": []},)}),
    Function(
        Factors.sample,
        lambda: {"self": Factors.grid({"a": [0, 1]}), "count": 3},
        {"fixed": ({"b": 0}, {"a": 2}, {"a": "0"}, {"a": 0.5})},
        {"fixed": ("factor",)},
    ),
    Function(Factors.at, lambda: {"self": Factors.grid({"a": [0, 1]}), "index": 1}, {"index": (2, -1, 0.5, "0", None)}),
    Function(split, lambda: {"data": data(), "held_out": 0.5}, {"held_out": (1, 1.5, -0.5, 1e-9)}),
    # Training.
    Function(
        fit,
        pair(elbo=elbos.PlainELBO, batches=lambda: [batch()], lr=1e-3, device="cpu"),
        {"lr": POSITIVE, "batches": ([],), "precision": ("fp16", "BF16", "16")},
        finish=list,
    ),
    Function(prepare, pair(elbo=elbos.PlainELBO, batch=batch, device="cpu")),
    Function(ramp, lambda: {"step": 1, "start": 0.0, "end": 1.0, "over": 10}, {"over": COUNT}),
    Function(adam, lambda: {"parameters": [nn.Parameter(torch.zeros(1))], "lr": 1e-3}, {"lr": POSITIVE}),
    Function(
        Adversary,
        lambda: {"log_ratio": networks.Discriminator(2, hidden=(4,)), "lr": 1e-3},
        {"lr": POSITIVE, "betas": ((0.5, 1.5),)},
    ),
    Function(find_device, lambda: {"device": "cpu"}, {"device": ("gpu", "cuda:99", " ")}),
    # Analysis.
    Function(analysis.evaluate, pair(data=data), {"batch_size": COUNT, "kl": ({"nosuch": "closed"},)}),
    Function(
        analysis.elbo_anatomy,
        pair(data=data, num_data=NUM_DATA, num_samples=10),
        {
            "num_data": (0, 71),
            "num_samples": (0, 1, HUGE),
            "batch_size": COUNT,
            "groups": ([], [["x"]], [["z"], ["z"]]),
        },
    ),
    Function(
        analysis.importance,
        pair(x=lambda: images(3), num_samples=5),
        {"num_samples": COUNT, "at_once": COUNT, "x": (torch.zeros(0, *SHAPE), torch.zeros(2, 2))},
    ),
    Function(analysis.log_evidence, pair(x=lambda: images(3), num_samples=5), {"num_samples": COUNT}),
    Function(analysis.Grid2D, lambda: {"reach": 3.0, "num": 5}, {"reach": POSITIVE, "num": COUNT}),
    Function(
        analysis.information,
        lambda: {"q": dist.Normal(torch.zeros(5, 2), 1.0).to_event(1)},
        {"q": (None, 3, "q", torch.ones(3)), "draws": COUNT},
    ),
    Function(
        analysis.log_aggregate,
        lambda: {"q": dist.Normal(torch.zeros(5, 2), 1.0).to_event(1), "points": torch.zeros(4, 2)},
        {"q": (None, 3, "q"), "points": (torch.zeros(4, 3),)},
    ),
    Function(
        analysis.log_prior,
        lambda: {"model": model(), "points": torch.zeros(4, 2)},
        {"site": ("nosuch",), "points": (torch.zeros(4, 3),)},
    ),
    Function(analysis.posteriors, lambda: {"guide": guide(), "x": images(3)}, {"x": (torch.zeros(2, 2),)}),
    Function(analysis.posterior_means, lambda: {"guide": guide(), "x": images(3)}, {"x": (torch.zeros(2, 2),)}),
    Function(analysis.codes, lambda: {"guide": guide(), "x": images(3)}, {"x": (torch.zeros(2, 2),)}),
    Function(
        analysis.decode,
        lambda: {"model": model(), "latents": LATENTS},
        {"site": ("nosuch",), "latents": ({}, {"w": torch.zeros(1, 2)}, {"z": torch.zeros(1, 3)})},
    ),
    Function(analysis.draw, lambda: {"model": model(), "num": 3}, {"num": COUNT, "site": ("nosuch",)}),
    Function(analysis.from_prior, lambda: {"model": model(), "num": 3, "seed": 0}, {"num": COUNT}),
    Function(analysis.encode_modes, pair(x=lambda: images(3)), {"x": (torch.zeros(2, 2),)}),
    Function(
        analysis.guide_inputs,
        lambda: {"guide": guide(), "data": data(), "index": [0, 1], "device": torch.device("cpu")},
        {"index": ([99], [-1])},
        {"index": ("datapoints",)},
    ),
    Function(analysis.quantiles, lambda: {"num": 3}, {"num": COUNT}),
    Function(analysis.ranked, lambda: {"sites": SITES, "kl": {"z": torch.ones(2)}}),
    Function(analysis.types, lambda: {"sites": SITES, "latents": {"c": torch.eye(3)[:1]}}, {"at_most": COUNT}),
    Function(
        analysis.traverse_unit,
        lambda: {"model": model(), "latents": LATENTS, "site": "z", "unit": 0, "values": torch.zeros(3)},
        {"site": ("nosuch",), "unit": (2, HUGE), "values": (torch.empty(0),)},
    ),
    Function(
        analysis.intervene,
        lambda: {"sites": SITES, "latents": {"z": torch.zeros(1, 2)}, "changes": [("z", 0, 1.0)]},
        {"changes": ([("w", 0, 1.0)], [("z", 2, 1.0)], [("z", 0, "1")], [("z", 0)], [("z", 0, NAN)])},
        {"changes": ("site",)},
    ),
    # Networks and stories' views.
    *(
        Function(network, lambda: {"shape": SHAPE, "hidden": (4,)}, {"hidden": ((), (0,), (-1,)), "shape": ((), (0,))})
        for network in (networks.MLPEncoder,)
    ),
    Function(
        networks.MLPDecoder,
        lambda: {"in_features": 2, "shape": SHAPE, "hidden": (4,)},
        {"in_features": COUNT, "hidden": ((0,), (-1,)), "shape": ((), (0,))},
    ),
    Function(
        networks.ConvEncoder,
        lambda: {"shape": (1, 32, 32)},
        {"shape": ((1, 5, 5), (32, 32), (1, 33, 33)), "hidden": COUNT, "channels": ((), (0,), (1,) * 9)},
        {"shape": ("pixels", "images"), "channels": ("convolutions",)},
    ),
    Function(
        networks.ConvDecoder,
        lambda: {"in_features": 2, "shape": (1, 32, 32)},
        {"in_features": COUNT, "shape": ((1, 5, 5), (32, 32)), "hidden": COUNT, "channels": ((), (0,), (1,) * 9)},
        {"shape": ("pixels", "images"), "channels": ("convolutions",)},
    ),
    Function(
        networks.Discriminator, lambda: {"in_features": 2, "hidden": (4,)}, {"in_features": COUNT, "hidden": ((0,),)}
    ),
    Function(
        networks.networks,
        lambda: {"shape": (1, 8, 8), "latents": 2, "network": "mlp"},
        {"network": ("rnn", "conv"), "latents": COUNT, "width": COUNT},
    ),
    Function(story, pair(elbo=elbos.PlainELBO, batch=batch)),
    Function(docstring_lines, lambda: {"story": zoo.VAE}),
    # Runs.
    Function(
        configure,
        lambda: {"recipe": RECIPES["small"]},
        {
            "steps": COUNT,
            "epochs": (0, -1.0),
            "batch_size": (0, 1501, HUGE),
            "lr": POSITIVE,
            "hyperparameters": ({"nosuch": 1},),
            "data": ("digitz",),
            "data_options": ({"size": 3},),
            "device": ("gpu",),
        },
        places={"data_options": ("option",), "hyperparameters": ("hyperparameter",), "batch_size": ("batch",)},
    ),
    Function(
        Every.parse,
        lambda: {"text": "60s"},
        {"text": ("soon", "0", "-5", "0s", "1.5s", "60 s", "s")},
        {"text": ("--checkpoint-every",)},
    ),
    Function(
        open_backend,
        lambda: {"name": "loky"},
        {"name": ("", "threading", "joblib"), "jobs": (0, -1), "scheduler": ("tcp://127.0.0.1:1",)},
        {"name": ("--backend",), "scheduler": ("--scheduler",)},
        lambda context: context.__enter__(),
    ),
    Function(
        sweep,
        lambda: {"recipe": RECIPES["small"], "folder": Path("nowhere"), "steps": 3},
        {"jobs": (0, HUGE), "backend": ("", "threading", "joblib"), "scheduler": ("tcp://127.0.0.1:1",)},
        works=False,
    ),
    Function(
        plan_sweep,
        lambda: {"recipe": RECIPES["small"], "folder": Path("nowhere"), "steps": 3},
        {
            "grid": ([], [{"nosuch": 1}], [{"a": 1}, {"b": 1}]),
            "seeds": (0, HUGE),
            "steps": COUNT,
            "lr": POSITIVE,
            "device": ("gpu",),
            "data": ("digitz",),
        },
        works=False,
        places={
            "grid": ("hyperparameter",),
            "data_options": ("option",),
            "hyperparameters": ("hyperparameter",),
            "batch_size": ("batch",),
        },
    ),
    Function(open_run, lambda: {"folder": Path("nowhere"), "recipes": RECIPES}, works=False),
    Function(checkpoint.load, lambda: {"path": "nowhere"}, works=False),
    Function(
        checkpoint.save,
        lambda: {"path": "/nowhere/x", "state": {}},
        {"state": ({"x": object()}, {"x": {1, 2}}, {"x": 1j})},
        {"state": ("/x",)},
        works=False,
    ),
    # Papers.
    Function(papers.recipe, lambda: {"name": "vae"}, {"name": ("vea",)}, {"name": ("recipe",)}),
    Function(papers.configure, lambda: {"name": "vae"}, {"name": ("vea",)}, {"name": ("recipe",)}),
    Function(papers.open_run, lambda: {"folder": Path("nowhere")}, works=False),
    Function(
        papers.pretrained, lambda: {"name": "joint-vae/mnist"}, {"name": ("joint-vae/mnits",)}, {"name": ("pair",)}
    ),
    Function(
        papers.reproduce,
        lambda: {"name": "nosuch"},
        {"name": ("joint-vae/mnits",)},
        {"name": ("reproduction",)},
        works=False,
    ),
    Function(
        papers.sweep,
        lambda: {"name": "nosuch", "folder": Path("nowhere")},
        {"name": ("vea",)},
        {"name": ("recipe",)},
        works=False,
    ),
    Function(papers.claims, lambda: {"name": "joint-vae/mnist"}, {"name": ("joint-vae/mnits",)}, {"name": ("result",)}),
    # Objectives.
    Function(elbos.PlainELBO, lambda: {}, {"num_particles": COUNT}),
    Function(elbos.BetaVAE, lambda: {"beta": 2.0}, {"beta": (-1.0,), "num_particles": COUNT}),
    Function(elbos.Capacity, lambda: {"gamma": 2.0, "capacity": 1.0}, {"gamma": (-1.0,), "capacity": (-1.0,)}),
    Function(
        elbos.TypeInformation,
        lambda: {
            "gamma": {"z": 3.0},
            "capacity": {"z": 1.0},
            "information": 2.0,
            "balance": 3.0,
            "smoothness": 4.0,
            "radius": 0.2,
            "probe": 1.0,
        },
        dict.fromkeys(("information", "balance", "smoothness", "radius", "probe"), (-1.0,))
        | {name: (2.0, {"z": -1.0}) for name in ("gamma", "capacity")},
    ),
    Function(elbos.BetaTCVAE, lambda: {"beta": 2.0, "num_data": 70}, {"beta": (-1.0,), "num_data": COUNT}),
    Function(
        elbos.HFVAE,
        lambda: {"alpha": 1.0, "beta": 1.0, "gamma": 1.0, "num_data": 70},
        {"alpha": (-1.0,), "num_data": COUNT, "groups": ("z", [[]], [["z"], ["z"]])},
    ),
    Function(
        elbos.FactorVAE, lambda: {"gamma": 1.0, "log_ratio": networks.Discriminator(2, hidden=(4,))}, {"gamma": (-1.0,)}
    ),
    Function(
        elbos.InfoVAE, lambda: {"alpha": 0.5, "lambda_": 1.0, "divergence": "kl", "num_data": 70}, {"num_data": COUNT}
    ),
    Function(elbos.InformationDropout, lambda: {"beta": 1.0, "gamma": 1.0, "num_data": 70}, {"num_data": COUNT}),
    Function(
        elbos.AnchoredCorEx,
        lambda: {"lambda_": 1.0, "anchors": {"z": [0]}, "num_data": 70},
        {"anchors": ({}, {"z": []}, {"z": [-1]}, {"z": [0.5]}), "num_data": COUNT},
    ),
    Function(elbos.DIPVAE, lambda: {"lambda_od": 1.0, "lambda_d": 1.0, "rate": 0.5}, {"rate": (0, 1.5, -1.0)}),
    Function(elbos.DIPVAEI, lambda: {"lambda_od": 1.0, "lambda_d": 1.0}, {"lambda_od": (-1.0,)}),
    Function(elbos.DIPVAEII, lambda: {"lambda_od": 1.0, "lambda_d": 1.0}, {"lambda_d": (-1.0,)}),
    Function(elbos.Decomposition, lambda: {"alpha": 1.0, "beta": 1.0, "divergence": "kl"}, {"sites": ("z", [])}),
    Function(elbos.NaturalClusteringELBO, lambda: {"beta_c": 1.0}, {"beta_c": (-1.0,)}),
    # Stories.
    Function(zoo.VAE, story_of(2, z_dim=2), {"z_dim": COUNT, "num_data": COUNT}),
    Function(
        zoo.JointVAE,
        story_of(5, z_dim=2, c_dims=(3,), temperature=0.5),
        {"c_dims": ((1,), (0,), 3), "temperature": POSITIVE},
    ),
    Function(zoo.ConditionalVAE, story_of(5, classes=3, z_dim=2), {"classes": (0, 1), "z_dim": COUNT}),
    Function(
        zoo.NaturalClustering,
        story_of(5, classes=3, c_dim=2, s_dim=2),
        {"classes": (0, 1), "c_dim": COUNT, "alpha": POSITIVE},
    ),
    Function(zoo.ProdLDA, story_of(3, groups=(3,)), {"groups": ((), (0,), 3), "alpha": POSITIVE}),
    Function(zoo.NVDM, story_of(3, groups=(3,)), {"groups": ((), (0,), 3)}),
    Function(zoo.AnisotropicVAE, story_of(2, variances=(1.0, 2.0)), {"variances": ((), (0.0,), (-1.0,), (NAN,))}),
    Function(zoo.StudentTVAE, story_of(2, z_dim=2, nu=5.0), {"z_dim": COUNT, "nu": POSITIVE}),
    *(
        Function(
            of,
            story_of(2, places=((0.0, 1.0), (1.0, 0.0)), scale=0.5),
            {"places": ((), ((NAN, 0.0),)), "scale": POSITIVE},
        )
        for of in (zoo.ClusteredVAE, zoo.ClusterIndicatorVAE)
    ),
    *(
        Function(
            of,
            story_of(2, z_dim=2, gamma=0.5, sigma_0=0.1),
            {"gamma": (-0.1, 1.5), "sigma_0": POSITIVE, "z_dim": COUNT},
        )
        for of in (zoo.SparseVAE, zoo.SparseIndicatorVAE)
    ),
    # Guides.
    *(
        Function(head, lambda: {"size": 3}, {"size": COUNT, "hidden": ((0,), (-1,))}, SIZE)
        for head in (
            guides.MeanField,
            guides.FullRank,
            guides.Flow,
            guides.Exact,
            guides.DirichletHead,
            guides.MeanFieldLaplace,
            guides.PointMass,
            guides.SoftplusNormal,
        )
    ),
    Function(guides.Concrete, lambda: {"size": 3, "temperature": 0.5}, {"size": (0, 1), "temperature": POSITIVE}, SIZE),
    Function(
        guides.StraightThrough, lambda: {"size": 3, "temperature": 0.5}, {"size": (0, 1), "temperature": POSITIVE}, SIZE
    ),
    Function(guides.Predicted, lambda: {"size": 3, "of": "pi"}, {"size": (0, 1)}, SIZE),
    Function(guides.ConjugateDirichlet, lambda: {"size": 3, "alpha": 0.5}, {"alpha": POSITIVE}),
    Function(guides.DirichletHead, lambda: {"size": 3}, {"total": POSITIVE, "floor": (-1.0,)}),
    Function(guides.Flow, lambda: {"size": 3}, {"steps": COUNT, "width": COUNT, "context": ()}),
    Function(guides.LowRank, lambda: {"size": 3, "rank": 1}, {"rank": (0, 4)}),
    Function(guides.Mixture, lambda: {"size": 3, "components": 2}, {"components": (0, 1)}),
    Function(guides.MeanFieldStudentT, lambda: {"size": 3, "df": 5.0}, {"df": POSITIVE}),
    Function(
        guides.Amortized,
        lambda: {"trunk": networks.MLPEncoder(SHAPE, hidden=(4,)), "z": guides.MeanField(2)},
        {"num_data": COUNT, "classes": (0, 1), "z": (None, guides.MeanField, nn.Linear(2, 2), "z", 3)},
    ),
    Function(
        guides.PerDatapoint,
        lambda: {"num_data": 5, "z": guides.MeanField(2)},
        {"num_data": COUNT, "classes": (0, 1), "z": (None, guides.MeanField, nn.Linear(2, 2), "z", 3)},
    ),
    Function(
        guides.Automatic,
        lambda: {"model": model()},
        {"model": (None, 3, "m", nn.Linear), "kind": (None, 3, "AutoNormal", nn.Linear)},
    ),
    Function(
        guides.SemiAmortized,
        lambda: {"amortized": guide(), "loss": lambda *args: torch.zeros(()), "steps": 1, "lr": 0.1},
        {"steps": (), "lr": POSITIVE},
    ),
    # Studies.
    Function(estimator_bias.estimator_table, lambda: {"seeds": 0}, {"seeds": (0, 1)}, works=False),
    Function(
        estimator_bias.equicorrelated,
        lambda: {"size": 2, "correlation": 0.5},
        {"size": COUNT, "correlation": (1.5, -1.5)},
    ),
    Function(
        estimator_bias.draw_toy,
        lambda: {"num_data": 5, "cov": torch.eye(2), "sd": 0.1},
        {"num_data": COUNT, "sd": POSITIVE, "cov": (torch.eye(2)[0], -torch.eye(2), torch.full((2, 2), NAN))},
    ),
    Function(
        estimator_bias.density_ratio_table,
        lambda: {"steps": (0,), "num_data": 4, "batch_size": 2, "hidden": (2,)},
        {"lr": POSITIVE, "batch_size": COUNT, "num_data": COUNT, "steps": ((), (-1,))},
    ),
    Function(
        gap.TestSamples,
        lambda: {"images": 1, "samples": 1, "gap_images": 1},
        dict.fromkeys(("images", "samples", "gap_images"), COUNT),
    ),
    Function(
        comparison.compare_guides,
        lambda: {"recipe": RECIPES["small"], "guides": ["flow"], "out": Path("nowhere")},
        {"guides": ([], ["flwo"], ["flow", "flow"]), "images": COUNT, "samples": COUNT, "gap_images": COUNT},
        {"guides": ("guide",)},
        works=False,
    ),
    Function(comparison.stored, lambda: {"name": "nosuch"}, {"name": ("vea",)}, {"name": ("comparison",)}, works=False),
)

ACCEPTED: dict[tuple[str, str, str], str] = {
    **{
        ("zoo.elbos.HFVAE", "groups", groups): "which sites there are is known at the first pass, which refuses them"
        for groups in ("[[]]", "[['z'], ['z']]")
    },
    ("zoo.elbos.AnchoredCorEx", "anchors", "{'z': [-1]}"): "how many units a site has is known at the first pass",
    ("zoo.metrics.factor_vae.factor_vae", "num_eval", "0"): "then the training votes are scored",
    ("zoo.metrics.suite.suite", "codes", "ndarray[5, 3]"): "metrics that do not apply are left out, with the reason",
    ("zoo.metrics.encoded.Encoded.of", "factors", "{}"): "no factors, as None",
    ("zoo.metrics.encoded.Encoded.of", "num_points", "0"): "of an encoder alone, which checks it",
    ("zoo.metrics.encoded.Encoded.of", "batch_size", "0"): "of an encoder alone, which checks it",
    ("zoo.metrics.udr.udr", "num_points", "0"): "of an encoder alone, which checks it",
    ("zoo.lab.training.fit.prepare", "device", "None"): "the machine's own, as in fit",
    ("zoo.lab.story.lines.docstring_lines", "story", "Linear"): "a module without a story has no lines",
}
"""What is accepted on purpose, by function, argument and value as `named` shows it, with the reason."""
