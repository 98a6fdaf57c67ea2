"""What people hand in by mistake is refused by one clear sentence, before any work, by table and by hypothesis.

What is accepted on purpose: a callable as `optimizer` is taken at its word until it has made its optimiser; batches
after the first are looked at when they come; a tensor as `lr`, since torch's optimisers take one.
"""

import dataclasses
import json
import math
import re

import pyro
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.pairs import NUM_DATA, SHAPE, vae_pair
from zoo.elbos import BetaTCVAE, FactorVAE, PlainELBO
from zoo.lab.data import Batch, Dataset, Split
from zoo.lab.files import write_record
from zoo.lab.networks import Discriminator
from zoo.lab.runs.finished import configure
from zoo.lab.runs.folder import Settings, read_settings
from zoo.lab.training.adversary import Adversary
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.training.fit import fit, ramp
from zoo.lab.trials.sweep_plan import plan_sweep

NAN, INF = math.nan, math.inf


def batch(**changes) -> Batch:
    return Batch(torch.rand(8, *SHAPE), None, torch.arange(8))._replace(**changes)


def data_set() -> Dataset:
    return Dataset.from_arrays(torch.rand(NUM_DATA, *SHAPE), torch.arange(NUM_DATA) % 3)


def refused(message: str, kind: type[Exception] | tuple[type[Exception], ...] = (TypeError, ValueError), **changes):
    """Whether `fit` refuses the change by one line that says so, and leaves the pair as it was."""
    model, guide = vae_pair()
    right = {"model": model, "guide": guide, "elbo": PlainELBO(), "batches": [batch()], "lr": 1e-3, "device": "cpu"}
    before = [p.clone() for p in (*model.parameters(), *guide.parameters())]
    with pytest.raises(kind, match=message) as error:
        list(fit(**{**right, **changes}))
    assert "\n" not in str(error.value)
    after = (*model.parameters(), *guide.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_pair_in_the_wrong_order_is_refused():
    model, guide = vae_pair()
    refused("the model Amortized observes nothing of the batch", model=guide, guide=model)
    refused(
        r"model is the objective PlainELBO: the order is fit\(model, guide, elbo, batches\)",
        model=PlainELBO(),
        elbo=model,
    )
    refused("elbo must be an instance of an objective in zoo.elbos, got list", elbo=[batch()], batches=PlainELBO())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": nn.Linear}, "model must be an nn.Module, whose forward is the Pyro program, got the class Linear"),
        ({"model": lambda x, index=None: None}, "model must be an nn.Module, .* got function"),
        ({"guide": None}, "guide must be an nn.Module, .* got NoneType"),
        ({"elbo": PlainELBO}, r"got the class PlainELBO: make one, as in PlainELBO\(\)"),
        ({"elbo": pyro.infer.Trace_ELBO()}, "got Trace_ELBO: train with Pyro's own objectives by pyro.infer.SVI"),
        ({"elbo": "PlainELBO"}, "elbo must be an instance of an objective"),
        ({"lr": None}, "fit needs lr="),
        ({"lr": "1e-3"}, "lr must be a number, got '1e-3'"),
        ({"lr": True}, "lr must be a number, got True"),
        ({"lr": 0}, "lr must be positive and finite, got 0"),
        ({"lr": -1e-3}, "lr must be positive and finite, got -0.001"),
        ({"lr": NAN}, "lr must be positive and finite, got nan"),
        ({"lr": INF}, "lr must be positive and finite, got inf"),
        ({"optimizer": "adam"}, "optimizer must be of torch.optim, such as torch.optim.Adam, got str"),
        ({"optimizer": None}, "optimizer must be of torch.optim, such as torch.optim.Adam, got NoneType"),
        ({"optimizer": pyro.optim.Adam({"lr": 1e-3})}, "optimizer must be of torch.optim"),
        (
            {"optimizer": lambda parameters, lr: None},
            "has to return an optimiser of torch.optim, but returned NoneType",
        ),
        ({"device": "gpu"}, "no device 'gpu' here; there is cpu"),
        ({"compile": "yes"}, "compile must be True or False, got 'yes'"),
        ({"compile": 1}, "compile must be True or False, got 1"),
        ({"start": -1}, "start must be from 0 to 9,223,372,036,854,775,807 steps, got -1"),
        ({"start": 2.5}, "start must be a whole number of steps, got 2.5"),
        ({"start": True}, "start must be a whole number of steps, got True"),
        ({"adversary": nn.Linear(2, 1)}, r"adversary must be an Adversary\(log_ratio, lr=1e-4\), got Linear"),
        ({"batches": None}, "batches must be an iterable of Batch.*; got NoneType"),
        ({"batches": 64}, "batches must be an iterable of Batch.*; got int"),
        ({"batches": "digits"}, "batches must be an iterable of Batch.*; got str"),
        ({"batches": torch.rand(8, *SHAPE)}, "batches must be an iterable of Batch.*; got Tensor"),
        ({"batches": {"x": torch.rand(8, *SHAPE)}}, "batches must be an iterable of Batch.*; got dict"),
        ({"batches": batch()}, r"got a single one: put it into a list, \[batch\]"),
        ({"batches": data_set()}, r"got the data set 'yours': give data.batches\(64, seed=0, steps=1000\)"),
        ({"batches": Split(data_set(), data_set())}, r"got a Split: give split.train.batches\("),
        ({"batches": []}, "batches is empty"),
        ({"batches": [torch.rand(8, *SHAPE)]}, r"batches must yield Batch\(x, y or None, index\).*; got Tensor"),
        ({"batches": [(torch.rand(8, *SHAPE), None, torch.arange(8))]}, r"batches must yield Batch.*; got tuple"),
        ({"batches": DataLoader(TensorDataset(torch.rand(8, *SHAPE)))}, r"must yield Batch.*from_arrays.*; got list"),
        (
            {"batches": [batch(index=None)]},
            r"index must say which.*got None; for .* torch.arange\(len\(x\)\)",
        ),
        ({"batches": [batch(index=torch.rand(8))]}, "index must say which datapoints .* got torch.float"),
        ({"batches": [batch(index=list(range(8)))]}, "index must say which datapoints .* got list"),
        ({"batches": [batch(index=torch.arange(7))]}, r"one for each of 8 datapoints, got shape \[7\]"),
        ({"batches": [batch(index=torch.arange(8)[:, None])]}, r"one for each of 8 datapoints, got shape \[8, 1\]"),
        (
            {"batches": [batch(index=torch.arange(63, 71))]},
            "index goes from 0 to num_data - 1 = 69, got 70: num_data is the size",
        ),
        ({"batches": [batch(index=torch.arange(-1, 7))]}, "index goes from 0 to num_data - 1 = 69, got -1"),
        ({"batches": [batch(x=torch.zeros(8, *SHAPE, dtype=torch.uint8))]}, "floats, got torch.uint8; .* / 255"),
        ({"batches": [batch(x=torch.zeros(8, *SHAPE).numpy())]}, "x must be a tensor of floats, got ndarray"),
        ({"batches": [batch(x=torch.tensor(1.0))]}, r"x must hold datapoints, \[B, ...\], got shape \[\]"),
        ({"batches": [batch(x=torch.rand(0, *SHAPE), index=torch.arange(0))]}, r"must hold datapoints.*\[0, 1, 3, 5\]"),
        ({"batches": [batch(y=[0] * 8)]}, "y must be a tensor of labels, or None, got list"),
        ({"batches": [batch(y=torch.zeros(7).long())]}, r"y must be one for each of 8 datapoints, got shape \[7\]"),
        ({"batches": [batch(y=torch.zeros(8).long())]}, "have labels and the model VAE takes none: .* labels=False"),
    ],
)
def test_a_near_miss_is_refused_by_name_and_nothing_is_trained(changes, message):
    refused(message, **changes)


def test_arguments_are_refused_when_fit_is_called_and_not_when_it_is_first_asked_for_a_step():
    with pytest.raises(TypeError, match="the class PlainELBO"):
        fit(*vae_pair(), PlainELBO, [batch()], lr=1e-3)


def test_a_rate_next_to_an_optimiser_and_an_optimiser_of_something_else_are_refused():
    model, guide = vae_pair()
    own = torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=1e-3)
    refused("lr=0.5 cannot be combined with an existing optimiser", model=model, guide=guide, optimizer=own, lr=0.5)
    other = torch.optim.Adam(vae_pair()[0].parameters(), lr=1e-3)
    refused("the optimiser has none of the pair's parameters", optimizer=other, lr=None)


def test_an_adversary_that_trains_what_nobody_reads_is_refused():
    adversary = Adversary(Discriminator(2), lr=1e-4)
    refused("trains a network that PlainELBO does not use", adversary=adversary)
    refused("that FactorVAE does not use", elbo=FactorVAE(gamma=1.0, log_ratio=Discriminator(2)), adversary=adversary)


def test_a_story_that_wants_labels_or_no_index_says_so():
    class Labelled(nn.Module):
        def forward(self, x, y, *, index=None): ...

    class NoIndex(nn.Module):
        def forward(self, x): ...

    class TwoMore(nn.Module):
        def forward(self, x, a, b, *, index=None): ...

    refused("the model Labelled needs labels and the batches have none: .* labels=True", model=Labelled())
    refused("the guide Labelled needs labels", guide=Labelled())
    refused(r"the model NoIndex takes no index: its forward has to be forward\(x, \*, index=None\)", model=NoIndex())
    refused(r"the model TwoMore cannot be called with a batch: its forward is forward\(x, a, b, ", model=TwoMore())


def test_a_size_that_is_said_too_small_is_refused_by_objectives_of_q_z_too():
    model, guide = vae_pair()
    small = BetaTCVAE(beta=2.0, num_data=10, estimator="weighted")
    refused("num_data = 10, but the plate 'data' has 70", model=model, guide=guide, elbo=small)


def test_a_batch_that_goes_wrong_later_ends_the_run_there():
    steps = fit(*vae_pair(), PlainELBO(), [batch(), batch(index=None)], lr=1e-3, device="cpu")
    assert next(steps)[0] == 1
    with pytest.raises(TypeError, match="index must say which datapoints"):
        next(steps)


def test_a_story_that_ignores_the_index_is_trained():
    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = nn.Parameter(torch.zeros(()))

        def forward(self, x, *, index=None):
            with pyro.plate("data", len(x)):
                pyro.sample("x", pyro.distributions.Normal(self.loc, 1.0), obs=x)

    class Nothing(nn.Module):
        def forward(self, x, *, index=None): ...

    only = Batch(torch.zeros(3), None, torch.arange(90, 93))
    [(_, report)] = fit(Alone(), Nothing(), PlainELBO(), [only], lr=1e-3, device="cpu")
    assert report.loss.item() == pytest.approx(0.5 * math.log(2 * math.pi))


@pytest.mark.parametrize("over", [0, -3, NAN])
def test_a_ramp_over_no_steps_is_refused(over):
    with pytest.raises(ValueError, match=r"ramp: over must be (from 1 to 1,000,000,000|a whole number), got"):
        ramp(1, 0.0, 1.0, over=over)


@pytest.mark.parametrize("end", [NAN, INF])
def test_a_ramp_to_nowhere_is_refused(end):
    with pytest.raises(ValueError, match="ramp: end must be finite, got"):
        ramp(1, 0.0, end, over=3)


# Whatever comes, by hypothesis: it is taken where it is right, and otherwise refused in one line.

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=3)
)
PAIR = vae_pair()


def is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@given(value=ANYTHING)
def test_any_lr_is_a_positive_number_or_refused(value):
    right = is_number(value) and 0 < value < INF
    try:
        fit(*PAIR, PlainELBO(), [batch()], lr=value, device="cpu")
    except (TypeError, ValueError) as error:
        assert not right
        assert "lr" in str(error)  # noqa: PT017
    else:
        assert right


@given(value=ANYTHING)
def test_any_start_is_a_count_or_refused(value):
    right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    try:
        fit(*PAIR, PlainELBO(), [batch()], lr=1e-3, start=value, device="cpu")
    except (TypeError, ValueError) as error:
        assert not right
        assert str(error).startswith("start must be")  # noqa: PT017
    else:
        assert right


@given(items=st.lists(ANYTHING, min_size=1, max_size=3))
def test_anything_in_the_place_of_a_batch_is_refused(items):
    with pytest.raises(TypeError, match=r"batches must yield Batch\(x, y or None, index\)"):
        list(fit(*PAIR, PlainELBO(), items, lr=1e-3, device="cpu"))


def _recipe() -> Recipe:
    def build(split: Split, *, z_dim: int = 2) -> Experiment:
        model, guide = vae_pair(z_dim=z_dim)
        return Experiment(model, guide, PlainELBO(), steps=3, batch_size=8)

    return Recipe("small", build, "pinwheel", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "configure: steps must be from 1 to 1,000,000,000, got 0"),
        ({"steps": -5}, "configure: steps must be from 1 to 1,000,000,000, got -5"),
        ({"steps": 2.5}, "configure: steps must be a whole number or None, got 2.5"),
        ({"steps": True}, "configure: steps must be a whole number or None, got True"),
        ({"steps": "300"}, "configure: steps must be a whole number or None, got '300'"),
        ({"epochs": 0}, "configure: epochs must be positive and finite, got 0"),
        ({"epochs": -1.0}, "configure: epochs must be positive and finite, got -1.0"),
        ({"epochs": INF}, "configure: epochs must be positive and finite, got inf"),
        ({"epochs": NAN}, "configure: epochs must be positive and finite, got nan"),
        ({"steps": 3, "epochs": 2}, "give --steps or --epochs, not both"),
        ({"batch_size": 0}, "configure: batch_size must be from 1 to 1,000,000,000, got 0"),
        ({"lr": 0}, "configure: lr must be positive and finite, got 0"),
        ({"lr": "fast"}, "configure: lr must be a number or None, got 'fast'"),
        ({"seed": -1}, "configure: seed must be from 0 to 9,223,372,036,854,775,807, got -1"),
        ({"seed": None}, "configure: seed must be a whole number, got None"),
        ({"hyperparameters": {"zdim": 3}}, "unknown hyperparameter of small 'zdim'; did you mean 'z_dim'"),
        ({"hyperparameters": {"split": 3}}, "unknown hyperparameter of small 'split'"),
        ({"data": "digit"}, "did you mean 'digits'"),
        ({"device": "gpu"}, "no device 'gpu' here"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused_before_it_is_made(options, message):
    with pytest.raises((LookupError, TypeError, ValueError), match=message):
        configure(_recipe(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"steps": 3},
            "--steps 3 and the hyperparameter steps = 5 are two values for one number: leave one of them out",
        ),
        ({"epochs": 2}, "--epochs 2 and the hyperparameter steps = 5"),
        ({"lr": 0.1}, "--lr 0.1 and the hyperparameter lr = 0.01"),
        ({"batch_size": 8}, "--batch-size 8 and the hyperparameter batch_size = 4"),
    ],
)
def test_a_number_that_is_given_twice_is_refused_also_for_a_sweep(options, message, tmp_path):
    def build(split, *, steps=3, lr=1e-3, batch_size=8):
        model, guide = vae_pair()
        return Experiment(model, guide, PlainELBO(), steps=steps, batch_size=batch_size, lr=lr)

    recipe, given = Recipe("small", build, "pinwheel", ""), {"steps": 5, "lr": 0.01, "batch_size": 4}
    with pytest.raises(ValueError, match=message):
        configure(recipe, hyperparameters=given, **options)
    with pytest.raises(ValueError, match=message):
        plan_sweep(recipe, tmp_path, grid=[given, {**given, "steps": 6}], **options)


SETTINGS = Settings("vae", {"z_dim": 3}, "digits", {}, 300, 64, 1e-3, 0, "cpu", False)
WRONG = {
    "recipe": [None, 3, "", ["vae"]],
    "hyperparameters": [None, [], "z_dim=3", 3],
    "data": [None, 3, ""],
    "data_options": [None, [], "size=64"],
    "steps": [None, "300", 0, -1, 2.5, True, [300]],
    "batch_size": [None, "64", 0, -64, 64.0, False],
    "lr": [None, "0.001", 0, -1e-3, NAN, INF, True, [1e-3]],
    "seed": [None, "0", -1, 0.0, True],
    "device": [None, 0, "", ["cpu"]],
    "compile": [None, "false", 0, 1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_setting_of_another_type_is_refused_by_field(name, value, tmp_path):
    record = {**dataclasses.asdict(SETTINGS), "command": "python -m zoo train vae"}
    write_record(tmp_path / "settings.json", record)
    assert read_settings(tmp_path) == (SETTINGS, record["command"])
    write_record(tmp_path / "settings.json", {**record, name: value})
    with pytest.raises(ValueError, match=rf"settings.json is damaged: {name} must be .*, got {re.escape(repr(value))}"):
        read_settings(tmp_path)
    del record[name]
    if name != "compile":  # which version 0.1 did not have
        write_record(tmp_path / "settings.json", record)
        with pytest.raises(ValueError, match=f"settings.json is damaged: it has no {name}"):
            read_settings(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(value=JSON, name=st.sampled_from([*WRONG, "command", "other"]))
@example(value={"": math.nan}, name="hyperparameters")
def test_any_setting_is_read_back_or_refused_by_field(value, name, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "settings"
    folder.mkdir(exist_ok=True)
    record = {**dataclasses.asdict(SETTINGS), "command": "c", name: value}
    (folder / "settings.json").write_text(json.dumps(record))  # as version 0.1, without a digest
    try:
        read, command = read_settings(folder)
    except ValueError as error:
        # NaN inside a mapping of hyperparameters is refused by the hyperparameter's own name.
        own = value if name == "hyperparameters" and isinstance(value, dict) else ()
        fields = [name, *(f"hyperparameter {key}" for key in own)]
        assert any(f"settings.json is damaged: {field} must be" in str(error) for field in fields)  # noqa: PT017
    else:
        assert json.dumps({**vars(read), "command": command, name: value}) == json.dumps(record)


@given(content=st.binary(max_size=60))
def test_any_bytes_in_the_place_of_settings_are_refused_by_the_file_s_name(content, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "bytes"
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"settings.json is damaged|stopped before it began"):
        read_settings(folder)
