"""The command line: python -m zoo list | story | data | train | evaluate | bench | ..."""

import inspect
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, get_args

import pyro
import torch
import typer

import zoo.elbos
from zoo.cli.overrides import grid, read
from zoo.lab.analysis.elbo_anatomy import elbo_anatomy, table
from zoo.lab.analysis.evaluate import Evaluation, evaluate
from zoo.lab.data import SOURCES, Split, load
from zoo.lab.data.catalogue import print_catalogue
from zoo.lab.data.from_disk import yours
from zoo.lab.device import find_device
from zoo.lab.errors import unknown_name
from zoo.lab.plots.contact_sheet import contact_sheet
from zoo.lab.runs import train as run
from zoo.lab.runs.finished import restore_experiment
from zoo.lab.runs.folder import Settings, free_folder, is_finished, new_folder, read_settings
from zoo.lab.runs.interrupt import Stopped
from zoo.lab.story import Story, story
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.papers import configure, open_run, recipe
from zoo.papers.recipes import DEFAULT, RECIPES

app = typer.Typer(
    help="Five papers on disentangled representations as Pyro stories.",
    no_args_is_help=True,
    add_completion=False,
)

RecipeName = Annotated[str, typer.Argument(help="A recipe; `list` shows them.", show_default=True)]
DataName = Annotated[str | None, typer.Option("--data", help="A data set; the recipe's own when not given.")]
DataDir = Annotated[Path | None, typer.Option(help="Where data files are; ZOO_DATA, else ./data.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch data files that are missing.")]
Knobs = Annotated[list[str] | None, typer.Option("--set", help="A knob of the recipe, as in --set beta=2; repeatable.")]
DataOptions = Annotated[
    list[str] | None, typer.Option("--data-option", help="An option of the data set, as in size=32; repeatable.")
]
Out = Annotated[Path, typer.Option(help="The picture's file.")]


@app.command("list")
def list_() -> None:
    """What there is: recipes, objectives, data."""
    from zoo.papers.reproductions import REPRODUCTIONS
    from zoo.papers.weights import names

    _section("recipes", {name: (r.description, f"[{r.paper}; {r.data}]") for name, r in RECIPES.items()})
    print("\nobjectives (zoo.elbos), and their weights in the letters of HFVAE's Figures 1 and 3:")
    print("1+3 reconstruction, 2 -I(x; z), 4 = A + i + ii -KL(q(z) || p(z)): A and i total correlation, ii KL per unit")
    for objective in objectives():
        print(f"  {objective.__name__:<20} {_first_line(objective)}")
        print(f"  {'':<20} {objective.weights}")
    _section("\nstories (zoo)", {name: (getattr(zoo, name), "") for name in zoo.__all__})
    _section("\ndata", {name: (source, "") for name, source in SOURCES.items()})
    print("\nreproductions")
    for name, reproduction in REPRODUCTIONS.items():
        print(f"  {name:<34} {reproduction.title}")
    print("\npretrained (zoo.papers.pretrained)\n  " + "\n  ".join(names()))


def _section(title: str, things: Mapping[str, tuple[object, str]]) -> None:
    """Names, in one column, and what each is."""
    print(title)
    width = max(map(len, things))
    for name, (thing, more) in things.items():
        print(f"  {name:<{width}} {_first_line(thing)}{more and '  ' + more}")


def objectives() -> list[type[zoo.elbos.TermwiseELBO]]:
    """Every objective, in the order of zoo/elbos.py."""
    classes = [value for value in vars(zoo.elbos).values() if inspect.isclass(value)]
    return [c for c in classes if issubclass(c, zoo.elbos.TermwiseELBO) and c is not zoo.elbos.TermwiseELBO]


@app.command("story")
def story_(
    name: RecipeName = DEFAULT,
    data: DataName = None,
    data_dir: DataDir = None,
    download: Download = False,
    data_options: DataOptions = None,
    knobs: Knobs = None,
    guide: Annotated[bool, typer.Option("--guide", help="The guide beside the model.")] = False,
    swap: Annotated[str | None, typer.Option(help="Another guide, as flow; `compare-guides` has the same.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Only the factorisation, in LaTeX.")] = False,
    graph: Annotated[Path | None, typer.Option(help="Also draw the plates: FILE.svg, .png, .pdf; .gv, source.")] = None,
    diff: Annotated[str | None, typer.Option(help="How it differs from another recipe, as vae, line by line.")] = None,
    color: Annotated[bool | None, typer.Option(help="In colour; so in a terminal, unless NO_COLOR is set.")] = None,
) -> None:
    """Shows a recipe's story as its trace has it, and what each site adds to the objective on one batch."""
    from zoo.studies.guide_gap.recipes import swap as swapped

    chosen = recipe(name)
    source, options = _data(chosen, data, data_options or [])
    split = load(source, folder=data_dir, download=download, **options)

    def tell(build: Recipe, knobs: list[str], on: Split) -> Story:
        pyro.set_rng_seed(0)
        experiment = build.build(on, **_parse(build, knobs))
        if swap:
            experiment = swapped(experiment, swap)
        some = torch.arange(min(experiment.batch_size, len(on.train)))
        batch = on.train.batch(some, labels=experiment.labels)
        return story(experiment.model, experiment.guide, experiment.elbo, batch)

    told = tell(chosen, knobs or [], split)
    shown = told if guide or swap or diff else replace(told, guide=None)
    if latex:
        print(shown.latex())
    elif diff:
        other = recipe(diff)
        try:
            plain = tell(other, [], split)
        except (ValueError, TypeError):  # a likelihood that cannot have made these data, as of points in the plane
            print(f"{diff} does not take {source}; told on {other.data}")
            plain = tell(other, [], load(other.data, folder=data_dir, download=download, **other.data_options))
        in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") if color is None else color
        difference = shown.diff(plain)
        print(difference.coloured() if in_colour else difference)
    else:
        print(chosen.description.split("Args:")[0])
        print(f"{shown}\n\nuntrained, from seed 0")
    if graph:
        told.graph(graph)
        print(f"\nwrote {graph}", file=sys.stderr)


@app.command()
def train(
    context: typer.Context,
    name: RecipeName = DEFAULT,
    data: DataName = None,
    data_dir: DataDir = None,
    download: Download = False,
    data_options: DataOptions = None,
    knobs: Knobs = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How long; the recipe's own when not given.")] = None,
    epochs: Annotated[float | None, typer.Option(min=0, help="How long, in passes over the training set.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; found when not given.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Trace and compile the step; slow to begin.")] = False,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/RECIPE-DATA when not given.")] = None,
    checkpoint_every: Annotated[str, typer.Option(help="Between checkpoints: steps, 500; or seconds, 60s.")] = "60s",
    resume: Annotated[Path | None, typer.Option(help="A run's folder: go on where it was stopped or killed.")] = None,
) -> None:
    """Trains a recipe, and leaves figures, pictures and weights in a folder."""
    every = run.Every.parse(checkpoint_every)
    if resume is not None:
        _resume(context, resume, data_dir, download, every)
        return
    chosen = recipe(name)
    source, options = _data(chosen, data, data_options or [])
    settings, split, experiment = configure(
        name,
        hyperparameters=_parse(chosen, knobs or []),
        data=source,
        data_options=options,
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        device=device,
        compile=compile,
        data_dir=data_dir,
        download=download,
    )
    folder = new_folder(out) if out else free_folder(Path("runs"), _stem(name, split.train.name))
    command = shlex.join(["python", "-m", "zoo", *sys.argv[1:]])
    _run(experiment, split, settings, folder, command, every, resume=False)


def _resume(context: typer.Context, folder: Path, data_dir: Path | None, download: bool, every: run.Every) -> None:
    """Goes on with the run in `folder`, with the settings that it has."""
    settings, command = read_settings(folder)
    _check_asked(context, settings, folder)
    if is_finished(folder):
        print(f"the run in {folder} is finished, and there is nothing to resume; see {folder / 'summary.md'}")
        return
    split, experiment = restore_experiment(settings, RECIPES, data_dir, download)
    _run(experiment, split, settings, folder, command, every, resume=True)


def _check_asked(context: typer.Context, settings: Settings, folder: Path) -> None:
    """Refuses options beside --resume that say something else than the run's settings."""
    source = context.get_parameter_source
    asked = {
        name: value for name, value in context.params.items() if getattr(source(name), "name", "") == "COMMANDLINE"
    }
    if wrong := sorted({"epochs", "out"} & asked.keys()):
        raise ValueError(f"--{wrong[0]} does not go with --resume: the run in {folder} has its own")
    if "knobs" in asked:
        asked["hyperparameters"] = {**settings.hyperparameters, **_parse(recipe(settings.recipe), asked.pop("knobs"))}
    if "data_options" in asked:
        options = _data_options(settings.data, asked["data_options"])
        asked["data_options"] = {**settings.data_options, **options}
    if "name" in asked:
        asked["recipe"] = asked.pop("name")
    has = vars(settings)
    differ = [
        f"{key} is {has[key]!r} there, {value!r} was asked for"
        for key, value in asked.items()
        if key in has and value != has[key]
    ]
    if differ:
        raise ValueError(f"the run in {folder} goes on with the settings that it has: {'; '.join(differ)}")


def _run(
    experiment: Experiment,
    split: Split,
    settings: Settings,
    folder: Path,
    command: str,
    every: run.Every,
    *,
    resume: bool,
) -> None:
    """Shows what is trained, trains it, and shows what came out."""
    first = split.train.batch(torch.arange(1), labels=experiment.labels)
    print(story(experiment.model, experiment.guide, batch=first))
    print(f"\n{type(experiment.elbo).__name__}\n    {_first_line(type(experiment.elbo))}\n")
    evaluation = run.train(experiment, split, settings, folder, command=command, every=every, resume=resume)
    _print(evaluation)
    print(f"\nthe run is in {folder}; begin with {folder / 'summary.md'}")


def _print(evaluation: Evaluation) -> None:
    print(f"\ntest set ({evaluation.num_data:,} datapoints), nats per datapoint")
    print(f"  -ELBO {-evaluation.elbo:.2f}")
    for site, value in evaluation.reconstruction.items():
        print(f"  reconstruction of {site} {value:.2f}")
    for site, kl in evaluation.kl.items():
        print(f"  KL of {site} {kl.sum():.2f}")


@app.command("evaluate")
def evaluate_(
    folder: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    data_dir: DataDir = None,
    download: Download = False,
    estimator: Annotated[str, typer.Option(help="Of q(z): exact, stratified, weighted, ...")] = "exact",
    num_samples: Annotated[int, typer.Option(min=2, help="Draws of which each is scored under all posteriors.")] = 1000,
    with_metrics: Annotated[bool, typer.Option("--metrics/--no-metrics", help="Whether to score the codes.")] = True,
) -> None:
    """Takes a run's ELBO on the test set apart, term by term, and scores its codes; metrics.json, anatomy.png."""
    trained = open_run(folder, data_dir, download)
    settings, model, guide, data = trained.settings, trained.model, trained.guide, trained.data.test
    experiment = trained.experiment
    _print(evaluate(model, guide, data, labels=experiment.labels, kl=experiment.elbo.kl))
    if getattr(guide, "needs_labels", False):
        print("\nthe guide is told labels, so it is no encoder of x alone: no q(z) to take apart, no codes to score")
        return
    from zoo.lab.plots import anatomy_bars

    size: int = len(data)
    how: Any = estimator  # decompose refuses what it does not know
    decomposed = elbo_anatomy(
        model, guide, data, num_data=size, estimator=how, num_samples=num_samples, batch_size=min(500, size)
    )
    print(f"\n{table(decomposed)}")
    anatomy_bars({settings.recipe: decomposed}).savefig(folder / "anatomy.png")
    print(f"\ndrawn in {folder / 'anatomy.png'}")
    if with_metrics and (data.factors is not None or data.y is not None):
        from zoo.metrics import suite  # scikit-learn's classifiers, which nothing else here needs

        pyro.set_rng_seed(settings.seed)  # a head that looks at another site encodes by a draw of it
        scored = suite(trained.encode, data, device=settings.device, seed=settings.seed)
        print(f"\n{scored.table()}")
        scored.write_json(folder / "metrics.json")
        print(f"\nwith their protocols in {folder / 'metrics.json'}")


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(help="A reproduction; all are listed when not given.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many; the budget's own when not given.")] = None,
    budget: Annotated[str, typer.Option(help="full, the paper's length, or short, what a CPU can do.")] = "full",
    jobs: Annotated[int, typer.Option(min=1, help="Trials at once, each on its share of the cores.")] = 1,
    runs: Annotated[Path, typer.Option(help="Where the runs are; finished ones are not run again.")] = Path(
        "runs/reproduce"
    ),
    out: Annotated[Path, typer.Option(help="Where result and card go.")] = Path("results"),
    replace: Annotated[bool, typer.Option("--replace", help="Even where OUT holds a result of more.")] = False,
    weights: Annotated[Path | None, typer.Option(help="A folder in which to keep the best seed's weights.")] = None,
    table: Annotated[bool, typer.Option("--table", help="Only write the README's table from OUT.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; found when not given.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Trace and compile the step; slow to begin.")] = False,
    data_dir: DataDir = None,
    download: Download = False,
) -> None:
    """Tries for what a paper reports, over seeds, and writes down what came out beside it."""
    from zoo.lab.trials.card import write_readme_table
    from zoo.lab.trials.reproduction import best, collect, draw, save, trials
    from zoo.lab.trials.trial import Budget, run_trials
    from zoo.papers.reproductions import REPRODUCTIONS
    from zoo.papers.weights import keep

    if table:
        write_readme_table(Path("README.md"), out)
        print("wrote README.md")
        return
    if name is None:
        for known, reproduction in REPRODUCTIONS.items():
            print(f"  {known:<34} {reproduction.title}  [{reproduction.paper}]")
        return
    if name not in REPRODUCTIONS:
        raise LookupError(unknown_name("reproduction", name, REPRODUCTIONS))
    if budget not in get_args(Budget):
        raise ValueError(f"--budget must be full or short, got {budget!r}")
    length: Budget = budget  # type: ignore[assignment]
    wanted = REPRODUCTIONS[name]
    count = seeds or wanted.seeds[length]
    tried = trials(
        name,
        wanted,
        runs,
        seeds=count,
        budget=length,
        recipes=RECIPES,
        data_dir=data_dir,
        download=download,
        device=str(find_device(device)),
        compile=compile,
    )
    failures = run_trials([(wanted.variants[v], trial) for v, of_it in tried.items() for trial in of_it], jobs=jobs)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    command = f"python -m zoo reproduce {name} --budget {length} --seeds {count}"
    command += f" --weights {weights}" if weights else ""
    result = collect(name, wanted, tried, command=command)
    result["pictures"] = draw(wanted, tried, name, out)
    written = save(result, out, replace=replace)
    if weights:
        chosen = best(wanted, tried, result)
        about = {"command": command, "seed": chosen.seed, "chosen by": wanted.best, "figures": chosen.figures()}
        print(f"kept {keep(name, chosen.open(), weights, about)}")
    print(written.read_text())
    print(f"wrote {written} and {written.with_suffix('.json')}")
    if failures:
        raise ValueError(f"{len(failures)} trials failed, and the result is without them; run the command again")


@app.command()
def sweep(
    name: RecipeName,
    seeds: Annotated[int, typer.Option(min=1, help="How many restarts of each setting, from seed 0.")] = 3,
    axes: Annotated[
        list[str] | None, typer.Option("--grid", help="A knob and its values, as in beta=2,3,4; several multiply.")
    ] = None,
    data: DataName = None,
    data_dir: DataDir = None,
    download: Download = False,
    data_options: DataOptions = None,
    knobs: Knobs = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How long; the recipe's own when not given.")] = None,
    epochs: Annotated[float | None, typer.Option(min=0, help="How long, in passes over the training set.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once, each on its share of the cores.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; found when not given.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Trace and compile the step; slow to begin.")] = False,
    out: Annotated[Path | None, typer.Option(help="The folder; runs/sweep/RECIPE-DATA when not given.")] = None,
    checkpoint_every: Annotated[str, typer.Option(help="Between checkpoints: steps, 500; or seconds, 60s.")] = "60s",
) -> None:
    """Restarts a recipe over seeds and knobs; run again after a kill, it goes on where it was. One table of results."""
    from zoo.lab.trials import sweep as restarts
    from zoo.lab.trials.trial import run_trials

    chosen = recipe(name)
    source, options = _data(chosen, data, data_options or [])
    fixed = _parse(chosen, knobs or [])
    settings = grid(chosen.build, axes or [], fixed)
    every = run.Every.parse(checkpoint_every)
    common: dict[str, Any] = {"data": source, "data_options": options, "steps": steps, "epochs": epochs}
    common |= {"batch_size": batch_size, "lr": lr}
    where = {"data_dir": data_dir, "download": download, "device": str(find_device(device)), "compile": compile}
    restarts.check(chosen, settings, {**common, **where, "knobs": fixed})
    folder = out or Path("runs/sweep") / _stem(name, source)
    tried = restarts.trials(
        name, settings, folder, seeds=seeds, plan={**common, "knobs": fixed}, every=every, recipes=RECIPES, **where
    )
    failures = run_trials([(measure, trial) for _, measure, trial in tried], jobs=jobs)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    found = restarts.rows(tried)
    text = restarts.markdown(
        found, list(settings[0]), command=shlex.join(["python", "-m", "zoo", *sys.argv[1:]]), failures=failures
    )
    written = restarts.write(folder, found, list(settings[0]), text)
    print(text)
    print(f"wrote {' and '.join(map(str, written))}")
    if failures:
        raise ValueError(
            f"{len(failures)} of {len(tried)} runs failed, and the table is without them; run the command again"
        )


@app.command()
def traverse(
    folder: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    site: Annotated[str | None, typer.Option(help="This site alone.")] = None,
    unit: Annotated[int | None, typer.Option(help="This unit of it alone.")] = None,
    datapoint: Annotated[int | None, typer.Option(help="Of the test set, to start from; the first one.")] = None,
    prior: Annotated[int | None, typer.Option(help="Start from a draw of the prior, with this seed.")] = None,
    values: Annotated[str, typer.Option(help="wide: -3 to 3; quantiles: a normal's 0.05 to 0.95.")] = "wide",
    beside: Annotated[Path | None, typer.Option(help="Another run's folder, to be shown next to this one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to; RUN/traverse when not given.")] = None,
    data_dir: DataDir = None,
    download: Download = False,
) -> None:
    """What a run's latents mean: sheets of images with one latent changed at a time, and a film of them."""
    from zoo.lab.runs.traverse import traverse as draw  # what nothing else here draws with

    trained = open_run(folder, data_dir, download)
    other = open_run(beside, data_dir, download) if beside else None
    pictures = draw(
        trained,
        out or folder / "traverse",
        site=site,
        unit=unit,
        datapoint=datapoint,
        prior=prior,
        values=values,
        beside=other,
    )
    for path, what in pictures.items():
        print(f"{path}  {what}")


@app.command("compare-guides")
def compare_guides(
    name: RecipeName = DEFAULT,
    guides: Annotated[str, typer.Option(help="Names with commas between them.")] = (
        "mean-field,full-rank,flow,semi-amortised"
    ),
    data: DataName = None,
    data_dir: DataDir = None,
    download: Download = False,
    data_options: DataOptions = None,
    knobs: Knobs = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How long each; the recipe's own when not given.")] = None,
    epochs: Annotated[float | None, typer.Option(min=0, help="How long, in passes over the training set.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Of the test set; all, or 500 with convolutions.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Importance samples; 5000, or 1000 likewise.")] = None,
    gap_images: Annotated[int | None, typer.Option(min=1, help="On which the gap is split; 200.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; found when not given.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Trace and compile the step; slow to begin.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where to; compare/RECIPE-DATA when not given.")] = None,
) -> None:
    """Trains a recipe under one guide after the other, and says what each loses, where, and at what price."""
    from zoo.studies.guide_gap.measure import compare, table

    chosen = recipe(name)
    source, options = _data(chosen, data, data_options or [])
    result = compare(
        chosen,
        guides.split(","),
        out or Path("compare") / _stem(name, source),
        images=images,
        samples=samples,
        gap_images=gap_images,
        hyperparameters=_parse(chosen, knobs or []),
        data=source,
        data_options=options,
        steps=steps,
        epochs=epochs,
        seed=seed,
        device=device,
        compile=compile,
        data_dir=data_dir,
        download=download,
    )
    print(table(result))


@app.command()
def matrix(
    table: Annotated[bool, typer.Option("--table", help="Only write the README's table, from OUT.")] = False,
    out: Annotated[Path, typer.Option(help="Where what came out is written.")] = Path("results/matrix/matrix.json"),
) -> None:
    """Tries every story under every guide and every objective, and writes down what fits; minutes."""
    from zoo.studies.compatibility import matrix as tried

    written = tried.load(out) if table else tried.write(out)
    tried.write_readme(Path("README.md"), written)
    print("wrote README.md" if table else f"wrote {out} and README.md")


@app.command("metrics")
def metrics_(
    check: Annotated[bool, typer.Option("--self-check", help="Measure codes whose scores are known.")] = False,
) -> None:
    """The disentanglement metrics that `evaluate` prints; with --self-check, beside known answers."""
    from zoo import metrics

    if check:
        print(metrics.self_check())
        return
    for name in metrics.__all__:
        metric = getattr(metrics, name)
        if inspect.isfunction(metric):
            print(f"  {name:<34} {_first_line(metric)}")


@app.command("data")
def data_(
    data_dir: DataDir = None,
    sheet: Annotated[str | None, typer.Option(help="A data set whose contact sheet to write.")] = None,
    data_options: DataOptions = None,
    out: Out = Path("sheet.png"),
    bench: Annotated[bool, typer.Option("--bench", help="Measure batches per second instead.")] = False,
) -> None:
    """What data there is: present or not, where it was looked for, sizes, licences, citations."""
    if bench:
        from zoo.studies.data_rate import bench as measure  # what only a benchmark needs

        measure(data_dir)
    elif sheet:
        split = load(sheet, folder=data_dir, **_data_options(sheet, data_options or []))
        out.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(split.train).savefig(out)
        print(f"wrote {out}")
    else:
        print_catalogue(data_dir)


@app.command()
def estimators(seeds: Annotated[int, typer.Option(min=2, help="How many batches each figure is over.")] = 20) -> None:
    """Every estimator of q(z) beside what it estimates, where that is known."""
    from zoo.studies.estimator_bias import estimator_table

    print(estimator_table(seeds))


@app.command("density-ratio")
def density_ratio() -> None:
    """FactorVAE's total correlation, as its discriminator learns, beside the exact one."""
    from zoo.studies.estimator_bias import density_ratio_table

    print(density_ratio_table())


@app.command()
def figure2(out: Out = Path("figure2.png")) -> None:
    """HFVAE's Figure 2: a toy on which each term of the ELBO is left out in turn, and what then happens."""
    from zoo.papers.hfvae import term_ablation

    panels = term_ablation.train_every_panel()
    term_ablation.draw(panels).savefig(out)
    print(term_ablation.table(panels))
    print(f"\nwrote {out}")


@app.command("bench")
def bench_(
    turns: Annotated[int, typer.Option(min=1, help="How often each variant has its turn.")] = 30,
    steps: Annotated[int, typer.Option(min=1, help="Steps in a turn.")] = 20,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; found when not given.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Measures a step next to hand-written PyTorch and to Pyro's own SVI."""
    from zoo.studies import step_time as bench  # what only a benchmark needs

    bench.main(find_device(device), data_dir, turns=turns, steps=steps)


def _parse(chosen: Recipe, knobs: list[str]) -> dict[str, Any]:
    return read("--set", "knob", chosen.build, knobs)


def _data(chosen: Recipe, data: str | None, options: list[str]) -> tuple[str, dict[str, Any]]:
    """The data set and its options: the recipe's own, unless told otherwise."""
    source = data or chosen.data
    own = dict(chosen.data_options) if source == chosen.data else {}
    return source, {**own, **_data_options(source, options)}


def _data_options(source: str, options: list[str]) -> dict[str, Any]:
    return read("--data-option", "option", SOURCES.get(source, yours), options)


def _stem(recipe: str, data: str) -> str:
    """What a run's folder is called: recipe-data, once where the recipe names the data."""
    return (recipe if recipe.endswith(f"/{data}") else f"{recipe}-{data}").replace("/", "-")


def _first_line(thing: object) -> str:
    return (thing if isinstance(thing, str) else inspect.getdoc(thing) or "").splitlines()[0]


def main() -> None:
    """Runs the command; what a person got wrong is said in one line, without a traceback."""
    try:
        app()
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except (ValueError, TypeError, LookupError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
