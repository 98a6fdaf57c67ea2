"""The pages that play of the pretrained pairs, as the site has them: written at its build, never committed."""

from pathlib import Path

from zoo.cli.explore import explore
from zoo.papers import list_pretrained
from zoo.papers.weights import HERE

FOLDER = "explorers"


def write(site: Path) -> dict[str, str]:
    """Writes a page for each pretrained pair into the site, if the pair is newer; test images where data is at hand.

    Returns the reasons of the pairs that have no page, by name.
    """
    reasons = {}
    for name in list_pretrained():
        page = site / FOLDER / f"{stem(name)}.html"
        if page.is_file() and page.stat().st_mtime >= (HERE / f"{stem(name)}.safetensors").stat().st_mtime:
            continue
        page.parent.mkdir(parents=True, exist_ok=True)
        try:
            explore(name, out=page)
        except (FileNotFoundError, LookupError, ValueError) as error:
            reasons[name] = str(error).replace("|", " ")
    return reasons


def pages(site: Path) -> dict[str, Path]:
    """The pages in the site, by pair."""
    there = {name: site / FOLDER / f"{stem(name)}.html" for name in list_pretrained()}
    return {name: page for name, page in there.items() if page.is_file()}


def address(document: str, page: Path) -> str:
    """The relative address of a page from a document of the site, as in docs/pretrained."""
    return "../" * document.count("/") + f"{FOLDER}/{page.name}"


def stem(name: str) -> str:
    """The name of a pair's files, without their suffix."""
    return name.replace("/", "-")
