"""Markdown of a result, of the JSON file alone: a reproduction's card, and the README's table."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.lab.errors import unknown_name
from zoo.lab.files import write_file

RESULTS = Path(__file__).parents[2] / "results"  # of a checkout
VERDICTS = {True: "held", False: "did not hold", None: "cannot be told"}

BEGIN, END = "<!-- results: python -m zoo reproduce --table -->", "<!-- end of results -->"


def card(result: Mapping[str, Any]) -> str:
    """The result in Markdown: the paper's values, ours over seeds, every seed, what held, and what differs."""
    rows = []
    for variant, figure, values in _cells(result):
        about = result["figures"][figure]
        paper = result["reported"].get(variant, {}).get(figure)
        rows.append(
            f"| {variant} | {about['what']} | {_number(paper, about)} | {_mean(values, about)} | "
            f"{_best(values, about)} | {', '.join(_number(value, about) for value in values)} |"
        )
    runs = [
        f"| {variant} | {record['seed']} | {record['steps']:,} | {record['seconds'] / 60:.1f} | {record['hardware']} |"
        for variant, records in result["variants"].items()
        for record in records
    ]
    claims = [f"- **{VERDICTS[c['held']]}**: {c['claim']} {c['evidence']}" for c in result["claims"]]
    versions = next(iter(result["variants"].values()))[0]["versions"]
    pictures = [f"![{caption}]({path})\n\n{caption}\n" for path, caption in result["pictures"].items()]
    newline = "\n"
    return f"""# {result["title"]}

{result["paper"]}

    {result["command"]}

Budget: {result["budget"]}. Written by the command above; nothing here was typed by hand.

| variant | figure | paper | ours, mean +- sd | best | every seed |
| --- | --- | ---: | ---: | ---: | --- |
{newline.join(rows)}

## What the paper says, and whether it held

{newline.join(claims) or "The paper makes no claim here beyond its figures."}

## Where this differs from the paper

{newline.join(f"- {text}" for text in result["deviations"]) or "Nowhere that we know of."}

{newline.join(pictures)}
## Runs

| variant | seed | steps | minutes | hardware |
| --- | ---: | ---: | ---: | --- |
{newline.join(runs)}

{", ".join(f"{name} {version}" for name, version in versions.items())}
"""


@dataclass(frozen=True)
class Claims:
    """What a paper says beside what came out, as a notebook shows it: of a result's JSON file alone."""

    result: Mapping[str, Any]

    def _repr_markdown_(self) -> str:
        result = self.result
        runs = [len(records) for records in result["variants"].values()]
        seeds = f"{max(runs)} seed" + "s" * (max(runs) != 1)
        parts = [f"**{result['title']}**: {seeds}, {result['budget']} budget"]
        if result["reported"]:
            parts += ["", "| | | the paper | ours |", "| --- | --- | ---: | ---: |"]
            parts += [
                f"| {variant} | {about['what']} | {_number(paper, about)} | {_mean(values, about)} |"
                for variant, figure, values in _cells(result)
                for about in [result["figures"][figure]]
                if (paper := result["reported"].get(variant, {}).get(figure)) is not None
            ]
        if result["claims"]:
            parts += ["", "| the paper says | here it | what came out |", "| --- | --- | --- |"]
            rows = ([c["claim"], f"**{VERDICTS[c['held']]}**", c["evidence"]] for c in result["claims"])
            parts += [f"| {' | '.join(cell.strip().replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
        folded = "<details><summary>What differs from the paper</summary>"
        parts += ["", folded, "", *(f"- {text}" for text in result["deviations"]), "", "</details>"]
        return "\n".join(parts)

    def __str__(self) -> str:
        return self._repr_markdown_()


def claims(name: str, folder: Path = RESULTS) -> Claims:
    """The claims of the result called `name`, as its file in results/ is.

    Raises:
        LookupError: there is no such result; says which there are, and the nearest name.
        FileNotFoundError: there are no results, as where the zoo was installed without its repository.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there: results come with the repository, so install it with -e")
    there = sorted(path.with_suffix(".json").stem for path in folder.glob("*.md"))
    if name not in there:
        raise LookupError(unknown_name("result", name, there))
    return Claims(json.loads((folder / f"{name}.json").read_text()))


def readme_table(folder: Path) -> str:
    """The README's table: the headline figures of every result in `folder` that has a card."""
    rows = []
    for path in sorted(written.with_suffix(".json") for written in folder.glob("*.md")):
        result = json.loads(path.read_text())
        cells = {(variant, figure): values for variant, figure, values in _cells(result)}
        shown = [(variant, figure) for variant, figure in result["headline"] if (variant, figure) in cells]
        for place, (variant, figure) in enumerate(shown):
            values, about = cells[variant, figure], result["figures"][figure]
            title = "" if place else f"[{result['title']}]({folder.name}/{path.stem}.md)"
            seeds = f"{len(values)} seed" + "s" * (len(values) != 1)
            rows.append(
                f"| {title} | {variant} | {about['what']} | "
                f"{_number(result['reported'].get(variant, {}).get(figure), about)} | {_mean(values, about)} | "
                f"{_best(values, about)} | {seeds}, {result['budget']} |"
            )
    head = ["reproduction", "variant", "figure", "paper", "ours, mean +- sd", "best", "budget"]
    rules = ["---"] * 3 + ["---:"] * 3 + ["---"]
    rows = [f"| {' | '.join(head)} |", f"| {' | '.join(rules)} |", *rows]
    return "\n".join([BEGIN, *rows, END])


def write_readme_table(readme: Path, folder: Path) -> None:
    """Puts the table between the README's two marks.

    Raises:
        ValueError: the README has no marks.
    """
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{readme} has no place for the table: it needs the lines {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    write_file(readme, (before + readme_table(folder) + rest.split(END, 1)[1]).encode())


def _cells(result: Mapping[str, Any]) -> list[tuple[str, str, list[float]]]:
    """(variant, figure, value of every seed that has it), in the table's order."""
    cells = []
    for variant, records in result["variants"].items():
        for figure in result["figures"]:
            values = [record["figures"][figure] for record in records if figure in record["figures"]]
            if values:
                cells.append((variant, figure, values))
    return cells


def _number(value: float | None, about: Mapping[str, Any]) -> str:
    return "" if value is None else f"{value:.{about['digits']}f}"


def _mean(values: Sequence[float], about: Mapping[str, Any]) -> str:
    if not values:
        return ""
    mean = _number(statistics.fmean(values), about)
    return f"{mean} +- {_number(statistics.stdev(values), about)}" if len(values) > 1 else mean


def _best(values: Sequence[float], about: Mapping[str, Any]) -> str:
    if not values or not about["better"]:
        return ""
    return _number(max(values) if about["better"] == "high" else min(values), about)
