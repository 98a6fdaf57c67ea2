"""Studies whose result is a table or a picture: `matrix`, `estimators`, `density-ratio`, `figure2`, `bench`."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import DataDir, Device, Picture, file, given, interpreter, whole


def matrix(
    table: Annotated[
        bool, typer.Option("--table", help="Only write the tables again, from the results in OUT.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(parser=file, help="JSON file of the results; in the study's package when not given."),
    ] = None,
) -> None:
    """Tries every story with every guide and objective, and writes which combinations fit; takes minutes."""
    from zoo.lab.files import write_file
    from zoo.studies.compatibility import matrix as compatibility

    to = out or compatibility.WRITTEN
    tables = compatibility.tables_of(to)
    if table:
        write_file(tables, compatibility.markdown(compatibility.load(to)))
    else:
        compatibility.write(to)
    print(f"wrote {tables}" if table else f"wrote {to} and {tables}")


def estimators(
    seeds: Annotated[
        int, typer.Option(parser=whole(2, 10_000), help="Number of batches that each number is averaged over.")
    ] = 20,
) -> None:
    """Compares every estimator of q(z) with the exact value."""
    from zoo.studies.estimator_bias import estimator_table

    print(estimator_table(seeds))


def density_ratio() -> None:
    """Compares the total correlation that FactorVAE's discriminator learns with the exact one."""
    from zoo.studies.estimator_bias import density_ratio_table

    print(density_ratio_table())


def figure2(out: Picture = Path("figure2.png")) -> None:
    """Draws HFVAE's Figure 2: a small example, trained with each term of the ELBO left out in turn."""
    from zoo.lab.files import naming
    from zoo.papers.hfvae import term_ablation

    panels = term_ablation.train_every_panel()
    with naming(out):
        term_ablation.draw(panels).savefig(out)
    print(term_ablation.table(panels))
    print(f"\nwrote {out}")


BENCH_ROWS = ("steps", "mlp", "conv", "pairwise", "together")
ROWS_WITH = {"--compile": ("together",), "--data-dir": ("steps",), "--peers": ("steps", "mlp", "conv")}
"""The rows of `bench` that an option has an effect on; all of them where it is not here."""


def bench_rows(text: str) -> str:
    """Parses the rows of `bench`."""
    if text not in BENCH_ROWS:
        raise typer.BadParameter(f"it must be one of {', '.join(BENCH_ROWS)}, got {text!r}")
    return text


def bench(
    context: typer.Context,
    turns: Annotated[int, typer.Option(parser=whole(1, 10_000), help="Number of turns of each variant.")] = 30,
    steps: Annotated[int, typer.Option(parser=whole(1, 100_000), help="Number of steps in a turn.")] = 20,
    device: Device = None,
    data_dir: DataDir = None,
    rows: Annotated[
        str,
        typer.Option(
            parser=bench_rows,
            help="steps; mlp, conv or pairwise alone; or together: restarts trained as one, against single ones.",
        ),
    ] = "steps",
    compile: Annotated[bool, typer.Option("--compile", help="With --rows together: compile both.")] = False,
    peers: Annotated[
        Path | None,
        typer.Option(parser=interpreter, help="A Python interpreter that has NumPyro or pythae, to compare with them."),
    ] = None,
) -> None:
    """Measures the time of a step against hand-written PyTorch, Pyro's own SVI, and other libraries."""
    from zoo.lab.device import find_device
    from zoo.studies import restarts_together, step_time

    for option in given(context):
        if rows not in (used := ROWS_WITH.get(option, BENCH_ROWS)):
            raise ValueError(
                f"{option} has no effect with --rows {rows}: leave it out, or give --rows {' or '.join(used)}"
            )
    if rows == "together":
        restarts_together.main(find_device(device), turns=turns, steps=steps, compile=compile)
        return
    step_time.main(find_device(device), data_dir, turns=turns, steps=steps, peers=peers, rows=rows)
