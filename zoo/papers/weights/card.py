"""Model cards: where a pretrained pair comes from, what was measured of it, and what its data allow.

python -m zoo.papers.weights.card     # writes the cards of the pairs that come with the zoo
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.lab.data.catalogue import ABOUT
from zoo.lab.files import write_file
from zoo.lab.runs.folder import Settings
from zoo.lab.trials.card import table
from zoo.papers import recipe
from zoo.papers.weights import HERE, records

OWN_DATA = "the author's own data"


@dataclass(frozen=True)
class ModelCard:
    """A pretrained pair, described.

    Attributes:
        name: for `zoo.papers.pretrained`.
        recipe: its recipe's name.
        description: of the recipe.
        paper: the recipe's citation.
        settings: of the training.
        command: that trained it.
        seed: of weights, batches and draws.
        quantities: what was measured of it, by name.
        licence: of its data.
        citation: of its data.
        half: for weights in half precision: the tolerance, and the quantities in single and in half precision.
    """

    name: str
    recipe: str
    description: str
    paper: str
    settings: Settings
    command: str
    seed: int
    quantities: Mapping[str, float]
    licence: str
    citation: str
    half: Mapping[str, Any]

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> "ModelCard":
        """The card of the pair with this record, `Pretrained.about`.

        Raises:
            LookupError: there is no such recipe.
            ValueError: a setting is missing or invalid.
        """
        settings = Settings.of(about["settings"])
        chosen, data = recipe(settings.recipe), ABOUT.get(settings.data)
        return cls(
            name=about["name"],
            recipe=settings.recipe,
            description=chosen.description,
            paper=chosen.paper,
            settings=settings,
            command=about.get("command", ""),
            seed=settings.seed,
            quantities=about.get("quantities", {}),
            licence=data.licence if data else OWN_DATA,
            citation=data.citation if data else OWN_DATA,
            half=about.get("half precision", {}),
        )

    def markdown(self, load: str | None = None) -> str:
        """The card as a page; `load` is the name by which the pair is loaded, where it is not `name`."""
        run = self.settings
        chosen = ", ".join(f"{name} = {value}" for name, value in run.hyperparameters.items())
        options = "".join(f", {name} = {value}" for name, value in run.data_options.items())
        facts = [
            ("recipe", f"`{self.recipe}`, {self.paper}"),
            ("hyperparameters", chosen or "the recipe's"),
            (
                "training",
                f"{self.settings.steps:,} steps of {self.settings.batch_size}, learning rate {self.settings.lr:g}",
            ),
            ("seed", str(self.seed)),
            ("data", f"{run.data}{options}"),
            ("licence of the data", self.licence),
            ("citation of the data", self.citation),
            ("weights", "half precision" if self.half else "single precision"),
        ]
        parts = [
            f"# {self.name}",
            self.description.split("\n\n")[0],
            f'```python\nfrom zoo.papers import pretrained\n\npair = pretrained("{load or self.name}")\n```',
            "Model and guide of a variational autoencoder, without data. It was trained to study representations; its "
            "samples and codes reflect its training set, and it is not meant for decisions about people.",
            table(("", ""), facts),
            f"Trained by\n\n    {self.command}" if self.command else "",
            "## What was measured",
            "On the test set: the ELBO's parts in nats per datapoint, accuracies in per cent.",
            table(("quantity", "value:"), [(name, f"{value:.4g}") for name, value in self.quantities.items()]),
        ]
        if self.half:
            rows = [
                (name, f"{value:.6g}", f"{self.half['half'][name]:.6g}") for name, value in self.half["single"].items()
            ]
            parts += [
                f"Rounding the weights to half precision moved no quantity by more than {self.half['tolerance']:g}, "
                "relative to its size:",
                table(("quantity", "single:", "half:"), rows),
            ]
        return "\n\n".join(part for part in parts if part) + "\n"


def list_pretrained(folder: str | Path = HERE) -> dict[str, ModelCard]:
    """The cards of all pretrained pairs in `folder`, by name.

    Raises:
        ValueError: a file is damaged.
    """
    return {about["name"]: ModelCard.of(about) for about in records(folder)}


def write_cards(folder: str | Path = HERE) -> list[Path]:
    """Writes each pair's card next to its weights, and returns the paths."""
    cards = list_pretrained(folder)
    paths = [Path(folder) / f"{name.replace('/', '-')}.md" for name in cards]
    for path, card in zip(paths, cards.values(), strict=True):
        write_file(path, card.markdown().encode())
    return paths


if __name__ == "__main__":
    for written in write_cards():
        print(f"wrote {written}")
