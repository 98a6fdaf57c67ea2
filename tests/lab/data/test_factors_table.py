"""factors.csv: one table, as editors and spreadsheets write it, and what is wrong with one said in a line."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from zoo.lab.data import Factors
from zoo.lab.data.factors_table import read_factors
from zoo.metrics.classes import classes_of

IMAGES = ["a/0.png", "a/1.png", "b/2.png"]
PLAIN = "file,angle,who\nb/2.png,-5,b\na/0.png,30.5,a\na/1.png,-5,a\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace(",", ";").replace("30.5", "30,5").encode(),
        PLAIN.replace(",", "\t").replace("30.5", "30,5").encode("utf-16"),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace("-", "\N{MINUS SIGN}").encode(),
        ("sep=;\n" + PLAIN.replace(",", ";")).encode(),
        PLAIN.replace("a/", "a\\").encode(),
        PLAIN.replace("a/", "./a/").encode(),
        PLAIN.replace(",", " , ").encode(),
        PLAIN.replace("file", "File").encode(),
        PLAIN.replace("b/2.png", '"b/2.png"').encode(),
        PLAIN.replace("\n", ",,\n").encode(),
        (PLAIN + "\n,,\n\n").encode(),
        PLAIN.rstrip().encode(),
    ],
)
def test_as_people_save_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "factors.csv").write_bytes(content)
    columns = read_factors(tmp_path / "factors.csv", IMAGES)
    assert list(columns) == ["angle", "who"]
    np.testing.assert_array_equal(columns["angle"], [30.5, -5, -5])
    assert columns["who"].tolist() == ["a", "a", "b"]


def test_accents_in_one_letter_or_two(tmp_path: Path) -> None:
    (tmp_path / "factors.csv").write_text("file,n\nä.png,1\n", encoding="utf-8")
    assert read_factors(tmp_path / "factors.csv", [unicodedata.normalize("NFD", "ä.png")])["n"].tolist() == [1.0]


def test_commas_in_quotes_are_of_the_value(tmp_path: Path) -> None:
    (tmp_path / "factors.csv").write_text('file,size\na/0.png,"1,5"\na/1.png,2\nb/2.png,3\n', encoding="utf-8")
    assert read_factors(tmp_path / "factors.csv", IMAGES)["size"].tolist() == ["1,5", "2", "3"]


@pytest.mark.parametrize("missing", ["#N/A", "#DIV/0!", "#NV", "n.a.", "<NA>", "--", ".", "\N{EN DASH}", "Unknown"])
def test_a_number_that_is_missing_makes_no_names_of_the_others(tmp_path: Path, missing: str) -> None:
    lines = PLAIN.replace("30.5", missing)
    (tmp_path / "factors.csv").write_text(lines, encoding="utf-8")
    with pytest.raises(ValueError, match=r"the line for a/0.png has no number for 'angle'; fill it in or leave"):
        read_factors(tmp_path / "factors.csv", IMAGES)


@pytest.mark.parametrize(
    "words",
    [["#ff0000", "#00ff00", "#ff0000"], ["unknown", "sun", "unknown"], ["\N{MINUS SIGN}1", "x", "y"], ["."] * 3],
)
def test_words_that_are_like_a_missing_number_are_words(tmp_path: Path, words: list[str]) -> None:
    lines = [f"{image},{word}" for image, word in zip(IMAGES, words, strict=True)]
    (tmp_path / "factors.csv").write_text("\n".join(["file,light", *lines]), encoding="utf-8")
    assert read_factors(tmp_path / "factors.csv", IMAGES)["light"].tolist() == words


@pytest.mark.parametrize("words", [["none", "sun", "none"], ["none", "none", "none"], ["-", "+", "+"]])
def test_none_among_words_is_a_word(tmp_path: Path, words: list[str]) -> None:
    lines = [f"{image},{word}" for image, word in zip(IMAGES, words, strict=True)]
    (tmp_path / "factors.csv").write_text("\n".join(["file,glasses", *lines]), encoding="utf-8")
    assert read_factors(tmp_path / "factors.csv", IMAGES)["glasses"].tolist() == words


@pytest.mark.parametrize("names", [["1_0", "10", "1_1"], ["1_0", "1_1", "2_0"], ["10", "20", "3_0e1"]])
def test_names_with_underscores_are_no_numbers(tmp_path: Path, names: list[str]) -> None:
    lines = [f"{image},{name}" for image, name in zip(IMAGES, names, strict=True)]  # Python reads 1_0 as 10
    (tmp_path / "factors.csv").write_text("\n".join(["file,person", *lines]), encoding="utf-8")
    assert read_factors(tmp_path / "factors.csv", IMAGES)["person"].tolist() == names


@pytest.mark.parametrize("start", [2**53 - 1, 2**53, 10**17, 2**63 - 3, 10**30])
def test_long_identifiers_stay_different(tmp_path: Path, start: int) -> None:
    """The distance of two neighbouring floats is 2 at 2^53, 16 at 10^17 and 1,024 at 2^63."""
    identifiers = [start + n for n in (0, 1, 2)]
    lines = [f"{image},{n}" for image, n in zip(IMAGES, identifiers, strict=True)]
    (tmp_path / "factors.csv").write_text("\n".join(["file,person", *lines]), encoding="utf-8")
    assert list(map(int, read_factors(tmp_path / "factors.csv", IMAGES)["person"])) == identifiers
    texts = np.array(list(map(str, identifiers)) * 2)
    assert len(Factors.of({"person": texts}).values[0]) == 3
    values, classes = classes_of("person", texts, 6)
    assert (list(map(int, values)), classes.tolist()) == (identifiers, [0, 1, 2] * 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the first line must name the columns, each once: `file` and one or more factors"),
        (b"name,angle\na/0.png,1\n", r"the first line must name .*got 'name,angle'"),
        (b"file\na/0.png\n", r"the first line must name"),
        (b"file,a,a\na/0.png,1,2\n", r"the first line must name"),
        (b"file,a,,b\na/0.png,1,2,3\n", r"the first line must name"),
        (b"file|a\na/0.png|1\n", r"separated by commas, semicolons or tabs; got 'file.a'"),
        ("file,Größe\na/0.png,1\n".encode("cp1252"), r"is not UTF-8 .*; save it as CSV UTF-8"),
        (b"file,a\na/0.png,1\n", r"has no line for a/1.png, one of 2 such images"),
        (PLAIN.replace("30.5", "").encode(), r"the line for a/0.png has no value for 'angle'"),
        (PLAIN.replace("30.5", "nan").encode(), r"the line for a/0.png has no number for 'angle'; fill it in"),
        (PLAIN.replace("30.5", "NA").encode(), r"the line for a/0.png has no number for 'angle'; fill it in"),
        (PLAIN.replace("30.5", "?").encode(), r"the line for a/0.png has no number for 'angle'"),
        (PLAIN.replace("30.5", "inf").encode(), r"the line for a/0.png has no number for 'angle'"),
        (PLAIN.replace("30.5,a", "30.5").encode(), r"line 3, for a/0.png, has 2 values and the first line 3 names"),
        (PLAIN.replace("30.5", "30,5").encode(), r"line 3, for a/0.png, has 4 values and the first line 3 names"),
        ((PLAIN + "a\\0.png,1,b\n").encode(), r"line 5 names a/0.png for the second time; keep one"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "factors.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_factors(tmp_path / "factors.csv", IMAGES)
    assert str(tmp_path / "factors.csv") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
