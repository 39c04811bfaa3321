"""Where identities come from, in one place."""

from __future__ import annotations

from os import urandom


def new_identity() -> str:
    """A random UUID (RFC 9562, version 4) as text: the same as `str(uuid4())`, without an object of it on the way."""
    digits = urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
