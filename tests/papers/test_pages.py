"""Papers' pages are what the code and the results say; claims are decided by the seeds as they stand."""

import configparser
import re

import pytest

import zoo.papers
from zoo.lab.trials.reproduce import draw, graded
from zoo.lab.trials.reproduction_plan import trials
from zoo.lab.trials.result_file import read_result
from zoo.lab.trials.stored import with_stored
from zoo.papers import coverage, pages
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS, results_folder

RESULTS = zoo.papers.results()


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_graded_by_their_seeds_and_lie_in_their_papers_room(name):
    path = RESULTS[name]
    result = read_result(path)
    assert path == results_folder(result["name"]) / f"{name}.json"
    wanted = REPRODUCTIONS[result["name"]]
    assert set(result["variants"]) <= set(wanted.variants)
    for picture in result["pictures"]:
        assert (path.parent / picture).is_file()
    assert graded(result, wanted) == result  # computed, not remembered


@pytest.mark.usefixtures("_quick_pictures")
@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("decomposition-figure-2", {"figure2.png"}),
        ("decomposition-figure-4", {"figure4.png"}),
        ("dip-vae-metric", {"protocols.png"}),
        ("dip-vae-shapes", {"figure1-squared-error.png", "figure1-cross-entropy.png"}),
        ("hfvae-figure-6", {"figure6-left.png", "figure6-right.png"}),
        ("hfvae-sensitivity", {"sensitivity.png"}),
        ("natural-clustering-augmentation", {"figure9.png"}),
    ],
)
def test_figures_of_all_seeds_are_drawn_from_the_stored_result_without_a_run(name, files, tmp_path):
    result = read_result(RESULTS[name])
    wanted = REPRODUCTIONS[result["name"]]
    none_here = trials(result["name"], wanted, tmp_path / "runs", seeds=1, budget=result["budget"], recipes=RECIPES)
    draw(wanted, with_stored(none_here, result), result["name"], tmp_path / "results")
    assert {path.name for path in (tmp_path / "results" / name).iterdir()} == files


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.room.name)
def test_the_page_is_what_is_written(page):
    written = (page.room / "README.md").read_text()
    assert written == page.text()
    for result in page.results():
        assert f"## {result['title']}\n" in written
        assert f"    {result['command']}\n" in written
        for picture in result["pictures"]:
            assert f"](results/{picture})" in written
    for name in page.reproductions():
        assert f"`{name}`" in written or any(result["name"] == name for result in page.results())


def test_the_readme_has_the_table_of_verdicts():
    assert pages.readme_table() in (pages.CHECKOUT / "README.md").read_text()


def test_every_reproduction_is_on_one_page():
    on_pages = [name for page in pages.PAGES for name in page.reproductions()]
    assert sorted(on_pages) == sorted(REPRODUCTIONS)


def test_pages_are_written_in_a_checkout_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match="pages can only be written in a checkout"):
        pages.write_pages(tmp_path / "README.md")


def test_claims_are_found_by_either_name_and_others_are_an_error():
    by_name, by_file = zoo.papers.claims("joint-vae/mnist"), zoo.papers.claims("joint-vae-mnist")
    assert by_name == by_file
    assert "88.7" in str(by_name)
    with pytest.raises(LookupError, match="did you mean 'joint-vae-mnist'"):
        zoo.papers.claims("joint-vae-mnits")


def test_results_come_with_an_installed_zoo():
    setup = configparser.ConfigParser()
    setup.read(pages.CHECKOUT / "setup.cfg")
    packed = {k: v for k, v in setup["options.package_data"].items() if k.startswith("zoo.papers.")}
    assert {path.parent.parent.name for path in RESULTS.values()} == {
        package.removeprefix("zoo.papers.")
        for package, files in packed.items()
        if files.split() == ["results/*.json", "results/full/*.json"] and package.startswith("zoo.papers.")
    }


def test_every_reproduction_can_say_what_it_wants():
    for name, wanted in REPRODUCTIONS.items():
        for variant, values in wanted.reported.items():
            assert variant in wanted.variants, name
            assert set(values) <= set(wanted.quantities), name
        for variant, quantity in [*wanted.headline, *([wanted.best] if wanted.best else [])]:
            assert variant in wanted.variants, name
            assert quantity in wanted.quantities, name
        assert set(wanted.seeds) == {"full", "short"}, name


def test_incomplete_full_results_are_graded_by_their_seeds_and_shown_apart():
    found = sorted(pages.CHECKOUT.glob("zoo/papers/*/results/full/*.json"))
    for path in found:
        result = read_result(path)
        wanted = REPRODUCTIONS[result["name"]]
        assert result["budget"] == "full"
        assert path.parents[1] == results_folder(result["name"])
        assert graded(result, wanted) == result
        short = read_result(path.parents[1] / path.name)
        assert short["budget"] == "short"  # else the full one would have taken its place
        assert "so far" in (path.parents[2] / "README.md").read_text()


def test_every_figure_and_table_is_listed_with_a_reproduction_or_a_reason():
    assert coverage.FILE.read_text() == pages.coverage_page()
    items = [item for of_paper in coverage.ITEMS.values() for item in of_paper]
    assert {name for item in items for name in item.by} == set(REPRODUCTIONS)
    assert all(bool(item.by) != bool(item.otherwise) for item in items)
    assert coverage.ITEMS.keys() == {page.room.name for page in pages.PAGES} - {"vae"}
    for room, of_paper in coverage.ITEMS.items():
        assert all(results_folder(name).parent.name == room for item in of_paper for name in item.by)


# The numbers of the figures and tables in each paper's text.
NUMBERED = {
    "natural_clustering": ({*range(1, 12)}, set()),
    "hfvae": ({*range(1, 9)}, {1, 2, 3}),
    "dip_vae": ({*range(1, 13)}, {*range(1, 7)}),
    "joint_vae": ({*range(1, 11)}, set()),
    "decomposition": ({*range(1, 6)}, set()),
}


def numbers(text):
    """The numbers in "Figures 3 to 6, 8" or "Figure 9b"."""
    found = set()
    for first, last in re.findall(r"(\d+)(?: to (\d+))?", text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


@pytest.mark.parametrize("room", NUMBERED)
def test_no_figure_and_no_table_is_left_out(room):
    items = coverage.ITEMS[room]
    for kind, wanted in zip(("Figure", "Table"), NUMBERED[room], strict=True):
        assert set().union(*(numbers(item.number) for item in items if item.number.startswith(kind))) == wanted
