"""Studies whose result is a table or a picture: `matrix`, `estimators`, `density-ratio`, `figure2`, `bench`."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import DataDir, Device, Picture, file, whole


def matrix(
    table: Annotated[bool, typer.Option("--table", help="Only write the tables again, from OUT.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(parser=file, help="The JSON file of what came out; in the study's package when not given."),
    ] = None,
) -> None:
    """Tries every story under every guide and every objective, and writes down what fits; minutes."""
    from zoo.lab.files import write_file
    from zoo.studies.compatibility import matrix as compatibility

    to = out or compatibility.WRITTEN
    if table:
        write_file(to.with_suffix(".md"), compatibility.markdown(compatibility.load(to)).encode())
    else:
        compatibility.write(to)
    print(f"wrote {to.with_suffix('.md')}" if table else f"wrote {to} and {to.with_suffix('.md')}")


def estimators(
    seeds: Annotated[int, typer.Option(parser=whole(2, 10_000), help="How many batches each number is over.")] = 20,
) -> None:
    """Every estimator of q(z) next to the exact value."""
    from zoo.studies.estimator_bias import estimator_table

    print(estimator_table(seeds))


def density_ratio() -> None:
    """FactorVAE's total correlation, as its discriminator learns it, next to the exact one."""
    from zoo.studies.estimator_bias import density_ratio_table

    print(density_ratio_table())


def figure2(out: Picture = Path("figure2.png")) -> None:
    """HFVAE's Figure 2: a toy on which each term of the ELBO is left out in turn, and what then happens."""
    from zoo.papers.hfvae import term_ablation

    panels = term_ablation.train_every_panel()
    term_ablation.draw(panels).savefig(out)
    print(term_ablation.table(panels))
    print(f"\nwrote {out}")


def bench(
    turns: Annotated[int, typer.Option(parser=whole(1, 10_000), help="How often each variant has its turn.")] = 30,
    steps: Annotated[int, typer.Option(parser=whole(1, 100_000), help="Steps in a turn.")] = 20,
    device: Device = None,
    data_dir: DataDir = None,
) -> None:
    """Measures a step next to hand-written PyTorch and to Pyro's own SVI."""
    from zoo.lab.device import find_device
    from zoo.studies import step_time

    step_time.main(find_device(device), data_dir, turns=turns, steps=steps)
