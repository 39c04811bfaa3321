"""Every promise in the documentation names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CITED = re.compile(r"`((?:tests|src)/[\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("page", ["docs/guarantees.md", "docs/failure-modes.md"])
def test_the_tests_a_page_cites_exist(page: str) -> None:
    cited = CITED.findall((ROOT / page).read_text())

    assert len(cited) > 20
    missing = [f"{file}::{name}" for file, name in cited if not _defined(ROOT / file, name)]
    assert missing == []


def test_every_promise_cites_a_test() -> None:
    _, *sections = (ROOT / "docs/guarantees.md").read_text().split("\n## ")

    assert [section.splitlines()[0] for section in sections if not CITED.search(section)] == []


def test_every_failure_mode_says_what_happens_and_why_that_can_be_believed() -> None:
    rows = re.findall(
        r"^\| (\d+\w?) \| (.+?) \| (.+?) \| (.+?) \|$", (ROOT / "docs/failure-modes.md").read_text(), re.MULTILINE
    )

    assert len(rows) >= 68
    assert [number for number, _, _, held in rows if not CITED.search(held) and "cannot" not in held] == []


def _defined(file: Path, name: str) -> bool:
    return file.is_file() and re.search(rf"^ *(?:async )?def {name}\(", file.read_text(), re.MULTILINE) is not None
