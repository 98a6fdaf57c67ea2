"""`reproduce`: runs a paper's experiments over seeds, and compares the results with the paper's."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.completion import reproduction_names
from zoo.cli.options import (
    Backend,
    Compile,
    DataDir,
    Device,
    Download,
    Jobs,
    Only,
    OwnPrecision,
    Scheduler,
    given,
    list_or_run,
    name,
    path,
    rate,
    refuse_with_only,
    whole,
)


def reproduce(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            parser=name,
            metavar="REPRODUCTION",
            help="A reproduction, or several with --queue; without a name, all are listed.",
            autocompletion=reproduction_names,
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(parser=whole(1, 1_000), help="Number of seeds; the budget's when not given.")
    ] = None,
    budget: Annotated[
        str, typer.Option(parser=name, help="full: the paper's length; short: feasible on a CPU.")
    ] = "full",
    jobs: Jobs = None,
    backend: Backend = "loky",
    scheduler: Scheduler = None,
    runs: Annotated[
        Path, typer.Option(parser=path, help="Folder of the runs; finished ones are not run again.")
    ] = Path("runs/reproduce"),
    out: Annotated[
        Path | None,
        typer.Option(parser=path, help="Folder of the result; results/ in the paper's package when not given."),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace the stored result, also of a larger budget, instead of adding to it."),
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(parser=path, help="A folder in which to keep the best seed's weights.")
    ] = None,
    table: Annotated[
        bool,
        typer.Option("--table", help="Only write the papers' pages and the README's table, from the stored results."),
    ] = False,
    queue: Annotated[
        bool,
        typer.Option(
            "--queue",
            help="Run the missing trials of the named reproductions, in this order; without names those of all, in the "
            "order of open claims per core-hour. Repeat the command to continue.",
        ),
    ] = False,
    hours: Annotated[
        float | None, typer.Option(parser=rate, help="With --queue: stop after this time, and save running trials.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Only print the trials: numbered, or with --queue with their estimated cost."),
    ] = False,
    only: Only = None,
    device: Device = None,
    compile: Compile = False,
    precision: OwnPrecision = None,
    data_dir: DataDir = None,
    download: Download = False,
) -> None:
    """Runs a paper's experiments over seeds, and writes the results next to the numbers that the paper reports."""
    from zoo import papers
    from zoo.lab.trials.card import card
    from zoo.papers.reproductions import REPRODUCTIONS

    names = names or []
    if queue:
        if replace:
            raise ValueError("--replace cannot be combined with --queue, which adds to stored results")
        if table:
            raise ValueError("--table cannot be combined with --queue, which writes the pages: leave out one of them")
        if only is not None:
            raise ValueError(f"--only {only} cannot be combined with --queue: name the reproduction without it")
        options = {
            "budget": budget,
            "seeds": seeds,
            "runs": runs,
            "out": out,
            "device": device,
            "compile": compile,
            "precision": precision,
            "data_dir": data_dir,
            "download": download,
        }
        where = {"jobs": jobs, "backend": backend, "scheduler": scheduler}
        _queue(names, hours=hours, where=where, weights=weights, plan=plan, **options)
        return
    if hours is not None or len(names) > 1:
        what = "--hours" if hours is not None else f"several reproductions ({', '.join(names)})"
        raise ValueError(f"{what} can only be given with --queue")
    others = [option for option in given(context) if option != "--table"]
    if table:
        if others:
            raise ValueError(f"--table writes every page, from the stored results: leave out {others[0]}")
        from zoo.papers.pages import write_pages

        for written in write_pages():
            print(f"wrote {written}")
        return
    if not names:
        if others:
            raise ValueError(f"{others[0]} needs the name of a reproduction; `reproduce` lists them")
        for known, about in REPRODUCTIONS.items():
            print(f"  {known:<34} {about.title}  [{about.paper}]")
        return
    refuse_with_only(context, only, "--jobs", "--backend", "--scheduler", "--out", "--replace", "--weights")
    length: Any = budget  # checked by reproduce
    settings = {"seeds": seeds, "budget": length, "runs": runs, "device": device, "compile": compile}
    settings |= {"precision": precision, "data_dir": data_dir, "download": download}
    if plan or only is not None:
        list_or_run(papers.plan_reproduction(names[0], **settings), plan, only)
        return
    done = papers.reproduce(
        names[0],
        jobs=jobs,
        backend=backend,
        scheduler=scheduler,
        out=out,
        replace=replace,
        weights=weights,
        **settings,
    )
    if weights:
        print(f"kept the best seed's weights in {weights}")
    print(card(done.result))
    print(f"wrote {done.path}; `reproduce --table` writes the paper's page")
    if done.failures:
        raise ValueError(f"{len(done.failures)} trials failed and are not in the result; run the command again")


def _queue(
    names: list[str],
    *,
    hours: float | None,
    where: dict[str, Any],
    weights: Path | None,
    plan: bool,
    **options: Any,
) -> None:
    """Prints the plan, runs it, and prints the outcome."""
    from zoo.papers.queue import plan_queue, reproduce_queue

    if plan:
        print(plan_queue(names, **options).table())
        return
    done = reproduce_queue(names, hours=hours, weights=weights, **where, **options)
    print(done.plan.table())
    print(f"\n{done}")
    if done.failures:
        raise ValueError(f"{len(done.failures)} trials or results failed; run the command again")
