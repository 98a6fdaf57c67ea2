"""Each paper's page, zoo/papers/PAPER/README.md, and the README's table, generated from code and results."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import zoo
from zoo import elbos
from zoo.lab.files import write_file
from zoo.lab.trials.card import (
    HOW_DECIDED,
    card,
    count_verdicts,
    headline_table,
    seeds,
    table,
    unfinished_table,
    verdicts_table,
    write_readme_table,
)
from zoo.lab.trials.reproduce import graded
from zoo.lab.trials.reproduction import Reproduction
from zoo.lab.trials.result_file import read_result, write_result
from zoo.lab.trials.stored import FULL, file_name, num_seeds
from zoo.papers import coverage
from zoo.papers.decomposition import recipes as decomposition
from zoo.papers.dip_vae import recipes as dip_vae
from zoo.papers.hfvae import recipes as hfvae
from zoo.papers.hfvae_topics import recipes as hfvae_topics
from zoo.papers.joint_vae import recipes as joint_vae
from zoo.papers.natural_clustering import recipes as natural_clustering
from zoo.papers.reproductions import REPRODUCTIONS, results_folder
from zoo.papers.vae import recipes as vae

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Page:
    """The contents of a paper's page besides its results.

    Attributes:
        title: of the page.
        recipes: the module of the paper's recipes, whose docstring lists what the paper leaves open.
        stories: the models.
        objectives: those that they are trained with.
    """

    title: str
    recipes: ModuleType
    stories: tuple[type, ...]
    objectives: tuple[type, ...]

    @property
    def room(self) -> Path:
        """The paper's folder."""
        return Path(str(self.recipes.__file__)).parent

    def reproductions(self) -> dict[str, Reproduction]:
        """The paper's reproductions, by name."""
        return {name: one for name, one in REPRODUCTIONS.items() if results_folder(name).parent == self.room}

    def results(self) -> list[dict[str, Any]]:
        """The paper's results, in the order of its reproductions."""
        order = list(self.reproductions())
        found = map(read_result, (self.room / "results").glob("*.json"))
        return sorted(found, key=lambda result: order.index(result["name"]))

    def unfinished(self, name: str) -> str:
        """The finished seeds of a reproduction in results/full/, and their verdicts; empty where there are none."""
        path = self.room / "results" / FULL / f"{file_name(name)}.json"
        if not path.is_file():
            return ""
        about = REPRODUCTIONS[name]
        return unfinished_table(read_result(path), about.variants, about.seeds["full"])

    def text(self) -> str:
        """The page in Markdown."""
        results = self.results()
        done = {result["name"] for result in results}
        parts = [
            f"# {self.title}",
            f"{count_verdicts(results)} {HOW_DECIDED}" if results else "",
            headline_table(results) if results else "",
            "## Story",
            *map(_described, self.stories),
            "## Objective",
            *map(_described, self.objectives),
            "## Recipes",
            inspect.getdoc(self.recipes) or "",
            table(
                ("recipe", "data", "settings", ""),
                [(f"`{r.name}`", r.data, r.paper, r.description.splitlines()[0]) for r in self.recipes.RECIPES],
            ),
            f"    python -m zoo train {self.recipes.RECIPES[0].name}",
            *(part for result in results for part in (_card(result), self.unfinished(result["name"]))),
            _not_run({name: one for name, one in self.reproductions().items() if name not in done}),
        ]
        return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


PAGES = (
    Page("VAE and beta-VAE", vae, (zoo.VAE,), (elbos.PlainELBO, elbos.BetaVAE)),
    Page("Joint-VAE", joint_vae, (zoo.JointVAE,), (elbos.Capacity,)),
    Page(
        "Decomposition: disentangling disentanglement",
        decomposition,
        (zoo.AnisotropicVAE, zoo.StudentTVAE, zoo.ClusteredVAE, zoo.SparseVAE),
        (elbos.Decomposition,),
    ),
    Page("DIP-VAE", dip_vae, (zoo.VAE,), (elbos.DIPVAE,)),
    Page("HFVAE on images", hfvae, (zoo.JointVAE,), (elbos.HFVAE,)),
    Page("HFVAE's topics", hfvae_topics, (zoo.ProdLDA, zoo.NVDM), (elbos.HFVAE,)),
    Page(
        "N-VAE: natural clustering",
        natural_clustering,
        (zoo.NaturalClustering, zoo.ConditionalVAE),
        (elbos.NaturalClusteringELBO,),
    ),
)


def write_pages(readme: Path = CHECKOUT / "README.md") -> list[Path]:
    """Checks all claims again, writes every paper's page and the README's table, and returns the paths of the pages.

    Raises:
        FileNotFoundError: there is no README, as in an installation without the repository.
        ValueError: the README does not contain the table's marks.
    """
    if not readme.is_file():
        raise FileNotFoundError(f"{readme} is missing: pages can only be written in a checkout of the repository")
    stored = Path(__file__).parent
    for path in [*stored.glob("*/results/*.json"), *stored.glob(f"*/results/{FULL}/*.json")]:
        result = read_result(path)
        write_result(graded(result, REPRODUCTIONS[result["name"]]), path)
    write_readme_table(readme, readme_table())
    for page in PAGES:
        write_file(page.room / "README.md", page.text())
    write_file(coverage.FILE, coverage_page())
    return [readme, coverage.FILE, *(page.room / "README.md" for page in PAGES)]


def coverage_page() -> str:
    """The page with every figure and table of the papers."""
    done = {
        result["name"]: f"{result['budget']}, {seeds(num_seeds(result))}" for page in PAGES for result in page.results()
    }
    return coverage.page({page.room.name: page.title for page in PAGES}, done)


def readme_table() -> str:
    """The README's table: a row for each paper, with a link to its page."""
    rows = [(f"[{page.title}]({(page.room / 'README.md').relative_to(CHECKOUT).as_posix()})", page) for page in PAGES]
    return verdicts_table([(link, results) for link, page in rows if (results := page.results())])


def _described(thing: type) -> str:
    """A class's docstring without its arguments."""
    text = (inspect.getdoc(thing) or "").split("\nArgs:")[0].strip().replace(".. warning::", "Warning:")
    home = "zoo" if thing.__name__ in zoo.__all__ else "zoo.elbos"
    return f"`{home}.{thing.__name__}`\n\n```text\n{text}\n```"


def _card(result: Mapping[str, Any]) -> str:
    """The card of a result, with the paths of its pictures from the page, which is in the results' parent folder."""
    return card({**result, "pictures": {f"results/{path}": text for path, text in result["pictures"].items()}})


def _not_run(reproductions: Mapping[str, Reproduction]) -> str:
    if not reproductions:
        return ""
    rows = [(f"`{name}`", one.title, one.paper) for name, one in reproductions.items()]
    return f"## Not run yet\n\n{table(('reproduction', 'what', 'paper'), rows)}\n\n    python -m zoo reproduce NAME"
