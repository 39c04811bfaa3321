"""Rules of the house that no linter knows."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FOLDERS = ("src", "tests", "examples", "benchmarks")
PYTHON_FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

SILENCER = re.compile(r"#\s*(noqa|type:\s*ignore)")
EXPLAINED = re.compile(
    r"#\s*(noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*|type: ignore\[[a-z-]+(, ?[a-z-]+)*\])\s+(#|--?)\s*\w+"
)


def test_no_module_is_longer_than_a_sitting() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}

    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_silenced_check_says_which_and_why() -> None:
    unexplained = [
        f"{path.relative_to(ROOT)}:{number}: {comment}"
        for path in PYTHON_FILES
        for number, comment in comments(path.read_text())
        if SILENCER.search(comment) and not EXPLAINED.search(comment)
    ]

    assert unexplained == []


@pytest.mark.parametrize(
    "comment",
    ["# noqa", "# noqa: S108", "# type: ignore", "# type: ignore[arg-type]", "# noqa - because"],
)
def test_a_silencer_without_code_or_reason_is_seen(comment: str) -> None:
    assert SILENCER.search(comment)
    assert not EXPLAINED.search(comment)


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa: S108 - made private below",
        "# type: ignore[arg-type]  # the stub is wrong",
        "# noqa: A001, A002 - SQL",
    ],
)
def test_a_silencer_with_code_and_reason_passes(comment: str) -> None:
    assert EXPLAINED.search(comment)


def comments(source: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
