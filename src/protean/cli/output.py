"""What is printed: tables for people, JSON for programs, and other people's texts made harmless.

On a terminal rich draws; into a pipe or a file go plain aligned columns, never cut to a width and without a
single escape sequence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import typer

from protean.printable import printable, printable_lines

if TYPE_CHECKING:
    from rich.table import Table as RichTable

#: Ages are told in the first unit that is at least one of.
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under headings. Columns in `numeric` stand to the right, `emphasis` colours cells by their text."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numeric: frozenset[str] = frozenset()
    emphasis: dict[str, str] = field(default_factory=dict)


def show(table: Table) -> None:
    """Print a table in the way that fits where it goes."""
    if not sys.stdout.isatty():
        typer.echo(plain(table))
        return
    from rich.console import Console  # noqa: PLC0415  # 80 ms, which only a terminal needs

    Console(highlight=False).print(drawn(table))


def drawn(table: Table) -> RichTable:
    """The table for rich. Cells are `Text`, never markup: `[red]` in an error is not a colour."""
    from rich.table import Table as RichTable  # noqa: PLC0415  # as above
    from rich.text import Text  # noqa: PLC0415  # as above

    widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
    # One blank between columns where two do not fit: `lanes status` on 80 columns, which would be broken inside words.
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= get_terminal_size().columns else 1
    result = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for column in table.columns:
        result.add_column(column, justify="right" if column in table.numeric else "left", overflow="fold")
    for row in table.rows:
        result.add_row(*(Text(printable(cell), style=table.emphasis.get(cell, "")) for cell in row))
    return result


def plain(table: Table) -> str:
    """The table as aligned lines, as wide as they need to be."""
    lines = [table.columns, *([printable(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(table.columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in table.numeric else cell.ljust(width)
            for cell, width, column in zip(line, widths, table.columns, strict=True)
        ).rstrip()
        for line in lines
    )


def show_json(value: Any, *, one_line: bool = False) -> None:
    """Print JSON, ASCII only: what a message holds cannot reach the terminal that shows it."""
    typer.echo(json.dumps(value, indent=None if one_line else 2, default=_jsonable))


def say(text: str, *, err: bool = False) -> None:
    """Print a sentence of our own, in which others' texts may stand."""
    typer.echo(printable_lines(text), err=err)


def complain(text: str) -> None:
    """Print the line an error is: red where there is colour."""
    typer.secho(f"Error: {printable_lines(text)}", fg="red", err=True)


def age(seconds: float | None) -> str:
    """`0.1 s`, `41 s`, `3 min`; `-` for none."""
    if seconds is None:
        return "-"
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _jsonable(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
