"""Other people's texts made harmless for terminals and logs."""

from __future__ import annotations

import re

#: What a terminal would obey instead of showing: C0 and C1 controls, DEL, and the marks that reverse the
#: direction of text; beside them line separators and halves of characters.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_LINES = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def printable(text: str) -> str:
    """The text on one line, with everything a terminal might obey spelled out: `\\x1b[31m`."""
    return _UNSAFE.sub(_spelled_out, text)


def printable_lines(text: str) -> str:
    """As `printable`, but line breaks and tabs stay: for tracebacks."""
    return _UNSAFE_IN_LINES.sub(_spelled_out, text)


def _spelled_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    named = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}
    return named.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
