"""Envelopes nobody should send: random bytes, valid ones with something changed, and what has broken parsers before."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

DEEP = 100_000

#: Values to put in the place of another, as JSON text.
VALUES = [
    "null", "true", "-1", "0", "1", "1.5", "NaN", "-Infinity", "1e999", "-0",
    str(2**53 + 1), str(2**63), str(-(2**63) - 1), "9" * 400, "9" * 5000,
    '""', '" "', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\U0001f600"', '"x"', '"%s"',
    '"2026-01-01"', '"2026-01-01T00:00:00"', '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"',
    '"2026-01-01T00:00:00+24:00"', '"00000000-0000-0000-0000-000000000000"', '"not-a-uuid"',
    '"urn:uuid:' + "0" * 32 + '"', '"' + "y" * 3000 + '"', '"' + "\u00e9" * 1500 + '"', '"' + "z" * 100_000 + '"',
    "[]", "{}", "[[]]", '{"a":1}', '[{"a":[null]}]',
    "[" * 150 + "]" * 150, '{"a":' * 150 + "1" + "}" * 150, "[" * 300 + "]" * 300,
]  # fmt: skip
#: Bytes that mean something to parsers and terminals.
BYTES = [
    b"\x00",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"{",
    b"}",
    b"[",
    b'"',
    b"\\",
    b",",
    b":",
    b"\x1b[2J",
    b"-",
    b"e",
]

WHOLE = [
    b"", b" ", b"null", b"0", b'"x"', b"[]", b"{}", b"\xef\xbb\xbf{}", b'{"data":{}}', b'{"metadata":{}}',
    b'{"data":{},"metadata":[]}', b'{"data":[],"metadata":{}}', b'{"data":{},"data":1,"metadata":{}}',
    b"[" * DEEP, b'{"data":' * DEEP, b'{"data":{},"metadata":' + b"[" * DEEP + b"]" * DEEP + b"}",
    b'{"data":{},"metadata":{}}' * 2, b"\x80\x05\x95", b"<?xml version='1.0'?>", b"\x1f\x8b\x08\x00",
]  # fmt: skip


def envelopes(valid: dict[str, Any], seed: int, count: int) -> Iterator[bytes]:
    """So many, the same for the same seed. `valid` is an envelope as it should be."""
    chance = random.Random(seed)
    yield from WHOLE[:count]
    for number in range(max(count - len(WHOLE), 0)):
        match number % 4:
            case 0:
                yield chance.randbytes(chance.randrange(200))
            case 1:
                yield _bytes_changed(json.dumps(valid).encode(), chance)
            case _:
                yield _values_changed(valid, chance)


def _bytes_changed(envelope: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(envelope) + 1)
        match chance.randrange(4):
            case 0:
                envelope = envelope[:at]
            case 1:
                envelope = envelope[:at] + envelope[at + chance.randrange(1, 20) :]
            case 2:
                envelope = envelope[:at] + chance.choice(BYTES) + envelope[at:]
            case _:
                envelope = envelope[:at] + chance.randbytes(1) + envelope[at + 1 :]
    return envelope


def _values_changed(valid: dict[str, Any], chance: random.Random) -> bytes:
    """A key removed, given another value, given twice, or added, once or several times."""
    parts = {name: {key: json.dumps(value) for key, value in part.items()} for name, part in valid.items()}
    twice = ""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        part = parts[chance.choice(("data", "metadata", "metadata", "metadata"))]
        key = chance.choice([*part, "unheard of"])
        match chance.randrange(6):
            case 0:
                part.pop(key, None)
            case 1:
                twice = f',"metadata":{chance.choice(VALUES)}'
            case _:
                part[key] = chance.choice(VALUES)
    texts = {
        name: "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in part.items()) + "}"
        for name, part in parts.items()
    }
    return f'{{"data":{texts["data"]},"metadata":{texts["metadata"]}{twice}}}'.encode()
