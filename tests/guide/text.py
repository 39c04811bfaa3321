"""The guide's own words: its printed blocks are what the tests configure, run and expect.

`guide.md.txt` is a copy (no formatter may touch it), so that the tests run from a checkout alone; where the original
is at hand the two are compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

COPY = Path(__file__).with_name("guide.md.txt")
ORIGINAL = Path(__file__).parents[3] / "shared" / "guide" / "running-migrations-without-blocking-production.md"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: what it is written in, and its text."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block without its remarks, continued lines made one."""
        joined = self.text.replace("\\\n", " ")
        return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def blocks(heading: str) -> list[Block]:
    """The blocks under a heading, in order, up to the next heading of any level."""
    found: list[Block] = []
    here, language, lines = "", None, list[str]()
    for line in COPY.read_text().splitlines():
        if line.startswith("```"):
            if language is not None and here == heading:
                found.append(Block(language, "\n".join(lines) + "\n"))
            language, lines = (line[3:] if language is None else None), []
        elif language is not None:
            lines.append(line)
        elif line.startswith("#"):
            here = line.lstrip("# ")
    assert found, f"the guide has no block under {heading!r}"
    return found


def block(heading: str, number: int = 0) -> Block:
    """One block under a heading."""
    return blocks(heading)[number]


def prose(heading: str) -> str:
    """All that is written under a heading."""
    found: str = re.findall(rf"\n#+ {re.escape(heading)}\n(.*?)(?=\n##)", COPY.read_text(), re.DOTALL)[0]
    return found


def script() -> str:
    """The migration script, as printed."""
    return block("Writing the Migration Script").text


def shape(printed: str) -> re.Pattern[str]:
    """What a printed line looks like with other figures.

    Two things in which the guide's prints differ from what its own script prints: the script writes no thousands
    separators, and the clock of Python's logging has milliseconds.
    """
    figures = re.sub(r"\d[\d,]*(\\\.\d+)?", r"\\d+(?:\\.\\d+)?", re.escape(printed))
    return re.compile(figures.replace(r"\d+(?:\.\d+)?\ INFO", r"\d+,\d{3}\ INFO"))
