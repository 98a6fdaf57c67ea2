"""A browser for all tests of the page, and pages for which the story runs 20 times instead of 200."""

import sys
from collections.abc import Callable, Iterator

import pytest

from tests.lab.explore.chromium import CHROMIUM, Chromium
from zoo.lab.explore import Explorer, page


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """Headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs a browser: the program chromium is not installed")
    started = Chromium()
    yield started
    started.close()


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch) -> None:
    monkeypatch.setattr(sys.modules[page.__module__], "DRAWS", 2)


@pytest.fixture
def opened(browser, tmp_path) -> Callable[..., Chromium]:
    """A page, opened from a file."""

    def open_page(made: Explorer, **size: int) -> Chromium:
        file = tmp_path / "page.html"
        file.write_text(made.html, encoding="utf-8")
        browser.open(file, **size)
        return browser

    return open_page
