"""Prints how many bad inputs were tried, and how many were refused as they should be, by table."""

from collections import Counter
from collections.abc import Callable

import pytest
from _pytest.terminal import TerminalReporter

TABLES = ("command line", "files and run folders", "Python API")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[str, str, int, int], None]:
    """Notes, for the summary, that of some inputs of a table so many were tried and so many held."""

    def note(table: str, source: str, tried: int, held: int) -> None:
        request.node.user_properties.append(("bad inputs", (table, source, tried, held)))

    return note


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    tried: Counter[tuple[str, str]] = Counter()
    held: Counter[tuple[str, str]] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if getattr(report, "when", "") == "teardown":
            continue
        for name, value in getattr(report, "user_properties", ()):
            if name == "bad inputs":
                table, source, some, good = value
                tried[table, source] += some
                held[table, source] += good
    if tried:
        terminalreporter.write_line("| bad inputs | from | tried | held |\n| --- | --- | ---: | ---: |")
        for table, source in sorted(tried, key=lambda row: (TABLES.index(row[0]), row[1])):
            count = tried[table, source]
            terminalreporter.write_line(f"| {table} | {source} | {count:,} | {held[table, source]:,} |")
