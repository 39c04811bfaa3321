"""Addresses of servers, which carry passwords: usable as they are, shown without."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

#: Up to the last `@`, because passwords are pasted in unescaped. Hides too much rather than too little.
_CREDENTIALS: Final = re.compile(r"//(?P<user>[^:/@?#]*)(?P<rest>.*)@", re.DOTALL)
_SECRET_OPTIONS: Final = re.compile(r"(?i)([?&;][^=&;]*(?:pass|secret|token|key)[^=&;]*=)[^&;]*")


def masked(uri: str) -> str:
    """The address, fit for logs and errors: with `***` for passwords, also those among its options."""
    shown = _CREDENTIALS.sub(lambda m: f"//{m['user']}{':***' if m['rest'] else ''}@", uri)
    return _SECRET_OPTIONS.sub(r"\1***", shown)


class Uri(str):
    """An address that is text to a driver and shows no password in a repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(masked(self))

    @property
    def scheme(self) -> str:
        """`postgresql` of `postgresql+psycopg://…`; the whole of `embedded` and `memory`."""
        return self.partition("://")[0].partition("+")[0].partition(":")[0].lower()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, handler(str))
