"""Markdown of a result, from its JSON file alone: a reproduction's card, its claims, and the README's table."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.lab.files import write_file

VERDICTS = {True: "holds", False: "does not hold", None: "cannot tell"}
HOW_DECIDED = (
    "The evidence for a claim is the mean and the standard deviation over seeds of what was measured. A mean counts as "
    "larger than another if the 95 % confidence interval of their difference is above 0, and as not larger if it is "
    "below 0: Welch's interval for two variants, and Student's of the difference in each run for two quantities of one "
    'variant. If the interval contains 0, or if there is only one seed, the verdict is "cannot tell".'
)

BEGIN, END = "<!-- verdicts: python -m zoo reproduce --table -->", "<!-- end of verdicts -->"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; columns whose header ends with ":" are numbers and right-aligned."""
    rules = ["---:" if header.endswith(":") else "---" for header in headers]
    lines = [[header.removesuffix(":") for header in headers], rules, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|")


def card(result: Mapping[str, Any]) -> str:
    """The result in Markdown: the paper's values, ours over seeds, every seed, the claims, and the deviations."""
    papers, own = _by_author(result)
    parts = [
        f"## {result['title']}",
        f"{result['paper']}",
        f"    {result['command']}",
        f"Budget: {result['budget']}. {_precision(result)}The command above measured all numbers and wrote "
        "this section.",
        table(
            ("variant", "quantity", "paper:", "ours, mean +- sd:", "best:", "every seed"),
            [
                (v, cell.what, cell.paper, cell.mean, cell.best, ", ".join(map(cell.number, cell.values)))
                for (v, _), cell in _cells(result).items()
            ],
        ),
        *(["### What the paper says, and whether it holds", _verdicts(papers)] if papers else []),
        *(["### What this project says, and whether it holds", _verdicts(own)] if own else []),
        *([] if papers or own else ["The paper makes no claim here beyond its numbers."]),
        "### Where this differs from the paper",
        "\n".join(f"- {text}" for text in result["deviations"]) or "There are no known deviations.",
        *(f"![{caption}]({path})\n\n{caption}" for path, caption in result["pictures"].items()),
        "<details><summary>Runs</summary>",
        _runs(result),
        _versions(result),
        "</details>",
    ]
    return "\n\n".join(parts) + "\n"


def _runs(result: Mapping[str, Any]) -> str:
    """The table of runs, with a column for the precision and for compiled runs if there are any.

    Earlier versions recorded neither.
    """
    every = [(variant, record) for variant, records in result["variants"].items() for record in records]
    later = [name for name in ("precision", "compiled") if any(record.get(name) for _, record in every)]
    rows = [
        (v, str(r["seed"]), f"{r['steps']:,}", f"{r['seconds'] / 60:.1f}", r["hardware"], *(_text(r, n) for n in later))
        for v, r in every
    ]
    return table(("variant", "seed:", "steps:", "minutes:", "hardware", *later), rows)


def _text(record: Mapping[str, Any], name: str) -> str:
    """What a record holds, with yes or no for true or false; empty where it was not recorded."""
    value = record.get(name, "")
    return {True: "yes", False: "no"}.get(value, value)


def _precision(result: Mapping[str, Any]) -> str:
    """A sentence on a precision that was asked for."""
    return f"Precision: {result['precision']}, for every run. " if "precision" in result else ""


def _budget(result: Mapping[str, Any]) -> str:
    """The budget, and the precision if one was asked for: "short", or "short, bf16"."""
    return ", ".join([result["budget"], *([result["precision"]] if "precision" in result else [])])


def _versions(result: Mapping[str, Any]) -> str:
    """The versions that the runs were made with: a line, or one for each that differ, with its seeds.

    Where a seed's runs of two variants have different versions, the seeds are those of each variant.
    """
    by_text: dict[str, dict[str, set[int]]] = {}
    for variant, records in result["variants"].items():
        for record in records:
            text = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
            by_text.setdefault(text, {}).setdefault(variant, set()).add(record["seed"])
    if len(by_text) == 1:
        return next(iter(by_text))
    together = [set().union(*of_one.values()) for of_one in by_text.values()]
    if sum(map(len, together)) == len(set().union(*together)):
        return "\n".join(f"- {_numbered(of_one)}: {text}" for text, of_one in zip(by_text, together, strict=True))
    return "\n".join(
        f"- {'; '.join(f'{variant}, {_numbered(own)}' for variant, own in of_one.items())}: {text}"
        for text, of_one in by_text.items()
    )


def _numbered(own: Iterable[int]) -> str:
    """Seeds by number: "seeds 0, 1, 2"."""
    return f"seeds {', '.join(map(str, sorted(own)))}"


def _by_author(result: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The paper's claims, and this project's own."""
    papers = [claim for claim in result["claims"] if not claim.get("own")]
    return papers, [claim for claim in result["claims"] if claim.get("own")]


def _verdicts(claims: Sequence[Mapping[str, Any]]) -> str:
    """The claims, each with its verdict and evidence."""
    return "\n".join(f"- **{VERDICTS[c['verdict']]}**: {c['claim']} {c['evidence']}" for c in claims)


def unfinished_table(result: Mapping[str, Any], variants: Iterable[str], wanted: int) -> str:
    """The finished seeds at the paper's length, while others have still to be run, and the verdicts of these seeds
    alone.

    They change no verdict of the page: as long as the short budget has more seeds, its seeds decide the claims.

    Args:
        result: of the full budget.
        variants: all that the reproduction has.
        wanted: the number of seeds of each.
    """
    counts = {variant: len(result["variants"].get(variant, ())) for variant in variants}
    if len(set(counts.values())) == 1:
        finished = f"Finished seeds: {next(iter(counts.values()))} of {wanted}."
    else:
        finished = f"Finished seeds, of {wanted}: {'; '.join(f'{name}: {count}' for name, count in counts.items())}."
    rows = [(v, cell.what, ", ".join(map(cell.number, cell.values))) for (v, _), cell in _cells(result).items()]
    parts = [
        "### At the paper's length, so far",
        f"{finished} {_precision(result)}The verdicts above do not use them.",
        f"    {result['command']}",
        table(("variant", "quantity", "every finished seed"), rows),
        *(["The verdicts of these seeds alone:", _verdicts(result["claims"])] if result["claims"] else []),
    ]
    return "\n\n".join(parts) + "\n"


def count_verdicts(results: Sequence[Mapping[str, Any]]) -> str:
    """A sentence with the numbers of claims that hold, do not hold, and cannot be decided; empty without claims."""
    verdicts = [claim["verdict"] for result in results for claim in _by_author(result)[0]]
    if not verdicts:
        return ""
    holds, fails, unknown = (verdicts.count(verdict) for verdict in (True, False, None))
    return (
        f"{len(verdicts)} claims of the paper were checked. By our results {holds} hold and {fails} "
        f"{'does' if fails == 1 else 'do'} not; for {unknown} the seeds cannot tell."
    )


@dataclass(frozen=True, repr=False)
class Claims:
    """A paper's claims next to our results, for a notebook, from a result's JSON file alone."""

    result: Mapping[str, Any]

    def _repr_markdown_(self) -> str:
        result = self.result
        counts = [len(records) for records in result["variants"].values()]
        least = f"{min(counts)} to " if min(counts) < max(counts) else ""
        parts = [f"**{result['title']}**: {least}{seeds(max(counts))}; budget: {_budget(result)}"]
        if result["reported"]:
            rows = [(v, cell.what, cell.paper, cell.mean) for (v, _), cell in _cells(result).items() if cell.paper]
            parts += [table(("", "", "the paper:", "ours:"), rows)]
        for who, claims in zip(("the paper says", "this project says"), _by_author(result), strict=True):
            if claims:
                checked = [(c["claim"], f"**{VERDICTS[c['verdict']]}**", c["evidence"]) for c in claims]
                parts += [table((who, "here it", "what came out"), checked)]
        deviations = "\n".join(f"- {text}" for text in result["deviations"])
        parts += ["<details><summary>What differs from the paper</summary>", deviations, "</details>"]
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return self._repr_markdown_()


def headline_table(results: Sequence[Mapping[str, Any]]) -> str:
    """The headline quantities of several results: the paper's value, ours over seeds, and the best seed's."""
    rows = []
    for result in results:
        cells = _cells(result)
        shown = [pair for pair in map(tuple, result["headline"]) if pair in cells]
        for place, (variant, quantity) in enumerate(shown):
            cell = cells[variant, quantity]
            budget = f"{seeds(len(cell.values))}, {_budget(result)}"
            title = "" if place else result["title"]
            rows.append((title, variant, cell.what, cell.paper, cell.mean, cell.best, budget))
    headers = ("reproduction", "variant", "quantity", "paper:", "ours, mean +- sd:", "best:", "budget")
    return table(headers, rows)


def verdicts_table(papers: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> str:
    """The README's table: for each paper, named in Markdown, how many of its claims hold in its results.

    Args:
        papers: for each paper its name in Markdown, such as a link, and its results.
    """
    headers = ("paper", "claims checked:", *(f"{words}:" for words in VERDICTS.values()))
    rows = []
    for paper, results in papers:
        verdicts = [claim["verdict"] for result in results for claim in _by_author(result)[0]]
        rows.append((paper, str(len(verdicts)), *(str(verdicts.count(verdict)) for verdict in VERDICTS)))
    return "\n".join([BEGIN, table(headers, rows), END])


def write_readme_table(readme: Path, text: str) -> None:
    """Puts the table between the README's two marks.

    Raises:
        ValueError: the README has no marks.
    """
    before = readme.read_text(encoding="utf-8")
    if BEGIN not in before or END not in before:
        raise ValueError(f"{readme} has no place for the table: it needs the lines {BEGIN} and {END}")
    head, rest = before.split(BEGIN, 1)
    write_file(readme, head + text + rest.split(END, 1)[1])


def deviation(values: Sequence[float]) -> float:
    """The standard deviation over two seeds or more; NaN where a value is not finite."""
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def average(values: Sequence[float]) -> float:
    """The mean over seeds: infinite if a value is; NaN if a value is NaN or there are infinities of both signs."""
    return math.nan if math.inf in values and -math.inf in values else statistics.fmean(values)


@dataclass(frozen=True)
class _Cell:
    """A quantity of a variant: its definition, the paper's value, and each seed's."""

    about: Mapping[str, Any]
    reported: float | None
    values: Sequence[float]

    @property
    def what(self) -> str:
        what: str = self.about["what"]
        return what

    @property
    def paper(self) -> str:
        return "" if self.reported is None else self.number(self.reported)

    @property
    def mean(self) -> str:
        mean = self.number(average(self.values))
        return f"{mean} +- {self.number(deviation(self.values))}" if len(self.values) > 1 else mean

    @property
    def best(self) -> str:
        if not self.about["better"]:
            return ""
        numbers = [value for value in self.values if not math.isnan(value)] or [math.nan]
        return self.number(max(numbers) if self.about["better"] == "high" else min(numbers))

    def number(self, value: float) -> str:
        """The value with the quantity's digits, without a minus sign before zero."""
        digits = self.about["digits"]
        return f"{round(value, digits) + 0.0:.{digits}f}"


def _cells(result: Mapping[str, Any]) -> dict[tuple[str, str], _Cell]:
    """The cells by variant and quantity, in the table's order, without those that no seed has."""
    cells = {}
    for variant, records in result["variants"].items():
        for quantity, about in result["quantities"].items():
            values = [record["quantities"][quantity] for record in records if quantity in record["quantities"]]
            if values:
                reported = result["reported"].get(variant, {}).get(quantity)
                cells[variant, quantity] = _Cell(about, reported, values)
    return cells


def seeds(count: int) -> str:
    """A number of seeds in words."""
    return "1 seed" if count == 1 else f"{count} seeds"
