"""How numbers are told to people."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 row`, `9,331 rows`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
