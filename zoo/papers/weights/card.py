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
from zoo.lab.training.experiment import find_recipe
from zoo.lab.trials.card import table
from zoo.papers.recipes import RECIPES
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
        recipe_steps: the recipe's number of steps; None where it was not recorded.
        quantities: what was measured of it, by name.
        licence: of its data.
        citation: of its data.
        half: for weights in half precision: their type, the tolerance, and the quantities in single and in half
            precision.
        note: on its training, where there is something to know.
    """

    name: str
    recipe: str
    description: str
    paper: str
    settings: Settings
    command: str
    seed: int
    recipe_steps: int | None
    quantities: Mapping[str, float]
    licence: str
    citation: str
    half: Mapping[str, Any]
    note: str = ""

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> "ModelCard":
        """The card of the pair with this record, `Pretrained.about`.

        Raises:
            LookupError: there is no such recipe.
            ValueError: a setting is missing or invalid.
        """
        settings = Settings.of(about["settings"])
        chosen, data = find_recipe(settings.recipe, RECIPES), ABOUT.get(settings.data)
        return cls(
            name=about["name"],
            recipe=settings.recipe,
            description=chosen.description,
            paper=chosen.paper,
            settings=settings,
            command=about.get("command", ""),
            seed=settings.seed,
            recipe_steps=about.get("recipe's steps"),
            quantities=about.get("quantities", {}),
            licence=data.licence if data else OWN_DATA,
            citation=data.citation if data else OWN_DATA,
            half=about.get("half precision", {}),
            note=about.get("note", ""),
        )

    @property
    def length(self) -> str:
        """How long it was trained, compared with its recipe."""
        steps, usual = self.settings.steps, self.recipe_steps
        if usual is None:
            return f"{steps:,} steps"
        if steps < usual:
            return f"{steps:,} of the recipe's {usual:,} steps"
        return f"{steps:,} steps, as the recipe" if steps == usual else f"{steps:,} steps; the recipe has {usual:,}"

    def markdown(self, load: str | None = None) -> str:
        """The card as a page; `load` is the name by which the pair is loaded, where it is not `name`."""
        run = self.settings
        chosen = ", ".join(f"{name} = {value}" for name, value in run.hyperparameters.items())
        options = "".join(f", {name} = {value}" for name, value in run.data_options.items())
        precision = "" if run.precision == "float32" else f"; in precision {run.precision}"
        facts = [
            ("recipe", f"`{self.recipe}`, {self.paper}"),
            ("hyperparameters", chosen or "the recipe's"),
            ("training", f"{self.length}; batches of {run.batch_size}, learning rate {run.lr:g}{precision}"),
            ("seed", str(self.seed)),
            ("data", f"{run.data}{options}"),
            ("licence of the data", self.licence),
            ("citation of the data", self.citation),
            ("weights", f"half precision, {self.half.get('dtype', 'float16')}" if self.half else "single precision"),
        ]
        parts = [
            f"# {self.name}",
            self.description.split("\n\n")[0],
            f'```python\nfrom zoo.papers import pretrained\n\npair = pretrained("{load or self.name}")\n```',
            "Model and guide of a variational autoencoder, without data. It was trained to study representations; its "
            "samples and codes reflect its training set, and it is not meant for decisions about people.",
            table(("", ""), facts),
            f"Trained by\n\n    {self.command}" if self.command else "",
            f"**Trained shorter than the recipe**: {self.length}." if self._shorter else "",
            self.note,
            "## What was measured",
            "On the test set: the ELBO's parts in nats per datapoint, accuracies in per cent.",
            self._measured(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    @property
    def _shorter(self) -> bool:
        return self.recipe_steps is not None and self.settings.steps < self.recipe_steps

    def _measured(self) -> str:
        """The quantities; with half precision, also those that were measured before and after rounding the weights."""
        halves = self.half.get("half", {})
        own = [(name, f"{value:.4g}") for name, value in self.quantities.items() if name not in halves]
        parts = [table(("quantity", "value:"), own)] if own else []
        if self.half:
            rows = [(name, f"{halves[name]:.6g}", f"{value:.6g}") for name, value in self.half["single"].items()]
            parts += [
                table(("quantity", "value:", "in single precision:"), rows),
                f"Rounding the weights to half precision moved none of these by more than {self.half['tolerance']:g}, "
                "relative to its size or to 1 where that is smaller.",
            ]
        return "\n\n".join(parts)


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
        write_file(path, card.markdown())
    return paths


if __name__ == "__main__":
    for written in write_cards():
        print(f"wrote {written}")
