"""What other people's texts may do to a terminal: nothing."""

from __future__ import annotations

import pytest

from protean.cli.output import Table, age, plain, printable, printable_lines
from protean.wording import counted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本", "plain é 日本"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("title \x1b]0;owned\x07", "title \\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("half \ud800", "half \\ud800"),
        ("[red]markup[/red]", "[red]markup[/red]"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_traceback_keeps_its_lines_and_nothing_else() -> None:
    assert printable_lines("one\n\ttwo\x1b[2J\r") == "one\n\ttwo\\x1b[2J\\r"


def test_no_character_of_the_control_ranges_survives() -> None:
    controls = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]

    assert all(printable(each).isprintable() for each in controls)


def test_a_table_in_a_pipe_is_as_wide_as_it_needs_to_be() -> None:
    long = "x" * 300
    table = Table(("NAME", "ROWS"), [(long, "1"), ("b", "10,000")], numeric=frozenset({"ROWS"}))

    assert plain(table).splitlines() == [f"NAME{' ' * 296}    ROWS", f"{long}       1", f"b{' ' * 299}  10,000"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (0.12, "0.1 s"), (41.3, "41 s"), (180, "3 min"), (7200, "2 h"), (432_000, "5 d"), (-0.2, "0.0 s")],
)
def test_an_age_is_told_in_its_first_unit(seconds: float | None, shown: str) -> None:
    assert age(seconds) == shown


def test_a_count_has_its_noun() -> None:
    assert counted(1, "row") == "1 row"
    assert counted(9331, "row") == "9,331 rows"
    assert counted(0, "process", "processes") == "0 processes"
