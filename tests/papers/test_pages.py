"""Papers' pages are what the code and the results say; claims are decided by the seeds as they stand."""

import configparser

import pytest

import zoo.papers
from zoo.lab.trials.card import read_result
from zoo.lab.trials.reproduction import graded
from zoo.papers import pages
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
        if files == "results/*.json" and package.startswith("zoo.papers.")
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
