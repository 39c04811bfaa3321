"""Which values a column takes, the same in every database.

Checked here, before any statement, because databases differ in what they swallow: one cuts a text at a NUL
character, one stores NaN as null, one ignores the length, and most name the column in no usable way.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime
from decimal import Decimal
from typing import Any

from protean.exceptions import DatabaseError, ValidationError
from protean.ports.rows import Column, ColumnType, Row, Table

#: Escapes that a JSON text may hold and PostgreSQL's jsonb refuses: NUL and halves of surrogate pairs.
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
#: A NUL in JSON that was written by json.dumps: an escape whose backslash is not itself escaped.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
#: Capital I with a dot, capital sigma, final sigma.
IRREGULAR_LETTERS = ("\u0130\u03a3\u03c2", "i\u03c3\u03c3")
_IRREGULAR = str.maketrans(*IRREGULAR_LETTERS)
#: Strings, which stay as they are, and floats of 10^16 and more, as json.dumps writes them.
_FLOATS = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?e\+\d+')
_WHOLE: Mapping[str, range] = {"smallint": range(-(2**15), 2**15), "integer": range(-(2**31), 2**31)}
#: As PostgreSQL gives them back; another spelling would come back changed.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INT64 = range(-(2**63), 2**63)


def columns_of(table: Table) -> Mapping[str, Column]:
    """The table's columns by name."""
    return {column.name: column for column in table.columns}


def checked_row(table: Table, values: Row, *, complete: bool, columns: Mapping[str, Column] | None = None) -> None:
    """Refuse values that their columns do not take; with `complete`, missing required ones too.

    `columns` are the table's by name, where the caller has them at hand.
    Raises ValidationError with the complaints by column.
    """
    columns = columns or columns_of(table)
    complaints: dict[str, list[str]] = {}
    for name, value in values.items():
        column = columns.get(name)
        if column is None:
            complaints[name] = [f"is no column of {table.name}"]
        elif (complaint := complaint_about(column, value, key=name == table.key)) is not None:
            complaints[name] = [complaint]
    if complete:
        complaints |= {name: ["is required"] for name in missing(table, values)}
    if complaints:
        raise ValidationError(complaints)


def missing(table: Table, values: Row) -> list[str]:
    """The columns that a new row must have and these values do not."""
    return [
        column.name
        for column in table.columns
        if ((column.required and column.default is None) or column.name == table.key)
        and values.get(column.name) is None
    ]


def complaint_about(column: Column, value: Any, *, key: bool = False) -> str | None:
    """What is wrong with the value for this column; None if nothing is."""
    if value is None:
        return "is required" if column.required or key else None
    expected, complain = _CHECKS[column.type]
    if not isinstance(value, expected) or (isinstance(value, bool) and column.type is not ColumnType.BOOLEAN):
        return f"{value!r:.50} is {type(value).__name__}, not {column.type}"
    if isinstance(value, str) and column.length is not None and len(value) > column.length:
        return f"has {len(value)} characters, more than {column.length}"
    return complain(value) or (_narrow(column, value) if column.native or column.digits else None)


def _narrow(column: Column, value: Any) -> str | None:
    """What is wrong with a value for the narrower type of its column."""
    if column.digits is not None and isinstance(value, int | Decimal):
        precision, scale = column.digits
        number = Decimal(value)
        if number != round(number, scale):
            return f"{value} has more than {scale} decimal places"
        if abs(number) >= Decimal(10) ** (precision - scale):
            return f"{value} has more than {precision - scale} digits before the point"
    if (whole := _WHOLE.get(column.native)) is not None and value not in whole:
        return f"{value} does not fit into {column.native}"
    if column.native == "uuid" and not _UUID.fullmatch(value):
        return f"{value!r:.50} is no UUID, as in 8f14e45f-ceea-467f-a0d9-1c2b3a4d5e6f in lower case"
    return None


def _text(value: str) -> str | None:
    if "\0" in value:
        return "holds a NUL character, which no database keeps"
    if not value.isascii() and not _encodable(value):
        return "holds half of a surrogate pair, which is no character"
    return None


def _integer(value: int) -> str | None:
    return None if value in _INT64 else f"{value!r:.50} does not fit into 64 bits"


def _finite(value: float | Decimal) -> str | None:
    return None if math.isfinite(value) else f"{value} is not a finite number"


def _zoned(value: datetime) -> str | None:
    if value.utcoffset() is None:
        return "needs a time zone"
    if value.year in (MINYEAR, MAXYEAR):
        try:
            value.astimezone(UTC)
        except OverflowError:
            return f"{value} is beyond the years 1 to 9999 in UTC"
    return None


def _plain_date(value: date) -> str | None:
    return f"{value} is a datetime, not a date" if isinstance(value, datetime) else None


def _json(value: list[Any] | dict[str, Any]) -> str | None:
    try:
        text = json_text(value)
    except (TypeError, ValueError) as error:
        return f"is not of JSON shape: {error}"
    return json_complaint(text)


_CHECKS: Mapping[ColumnType, tuple[type | tuple[type, ...], Callable[[Any], str | None]]] = {
    ColumnType.STRING: (str, _text),
    ColumnType.TEXT: (str, _text),
    ColumnType.INTEGER: (int, _integer),
    ColumnType.FLOAT: ((float, int), _finite),
    ColumnType.DECIMAL: ((Decimal, int), _finite),
    ColumnType.BOOLEAN: (bool, lambda _: None),
    ColumnType.DATE: (date, _plain_date),
    ColumnType.DATETIME: (datetime, _zoned),
    ColumnType.JSON: ((list, dict), _json),
}


def json_text(value: object) -> str:
    """JSON with sorted keys, so that equal values have equal texts. Raises TypeError or ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def with_points(text: str) -> str:
    """A JSON text whose large floats keep a point: `1e+22` alone would come back from jsonb as a whole number."""
    return _FLOATS.sub(_pointed, text) if "e+" in text else text


def _pointed(found: re.Match[str]) -> str:
    number = found.group()
    return number if number.startswith('"') else f"{Decimal(number):f}.0"


def comparable_json(value: Any) -> Any:
    """The value such that `==` says what a database says: numbers by what is written, and True is no 1."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, (int, float)):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {key: comparable_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [comparable_json(each) for each in value]
    return value


def caseless(text: str) -> str:
    """The text as lookups that ignore case compare it: small letters, character by character.

    The three are those whose small form depends on their neighbours, on the language or is two characters.
    """
    return text.translate(_IRREGULAR).lower()


def json_complaint(text: str) -> str | None:
    """What is wrong with the characters of a JSON text; None if nothing is."""
    if not text.isascii() and not _encodable(text):
        return "holds half of a surrogate pair, which is no character"
    if not _SUSPICIOUS.search(text):
        return None
    plain = json_text(json.loads(text))
    if not _encodable(plain):
        return "holds half of a surrogate pair, which is no character"
    return "holds a NUL character, which no database keeps" if _NUL.search(plain) else None


def checked_json(text: str, what: str) -> str:
    """`text` itself. Raises DatabaseError, naming `what`, when no database would keep it as it is."""
    if (complaint := json_complaint(text)) is not None:
        raise DatabaseError(f"{what} cannot be stored: it {complaint}")
    return text


def utc(value: datetime) -> datetime:
    """The same moment in UTC."""
    return value.astimezone(UTC)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
