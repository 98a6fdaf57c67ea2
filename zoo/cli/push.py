"""`push`: sends a finished run's pair to a hub, where others load it."""

from typing import Annotated

import typer

from zoo.cli.options import DataDir, Run, name


def push(
    folder: Run,
    repository: Annotated[str, typer.Argument(parser=name, metavar="OWNER/NAME", help="The hub's repository.")],
    data_dir: DataDir = None,
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Weights in half precision, if the test set's ELBO stays the same.")
    ] = False,
) -> None:
    """Sends a finished run's weights and its card to a Hugging Face hub, as safetensors and JSON."""
    from zoo import papers

    address = papers.push(folder, repository, data_dir=data_dir, private=private, half=half)
    print(f'sent; load it with zoo.papers.pretrained("{address}")')
