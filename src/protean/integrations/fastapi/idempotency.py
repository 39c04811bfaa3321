"""The header `Idempotency-Key`, as a parameter of endpoints."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header
from starlette.exceptions import HTTPException

from protean.exceptions import ValidationError

_NAME = "Idempotency-Key"
#: A key as it is, or in quotes, as the IETF's draft of the header has it.
_KEY = re.compile(r'"([ !#-\[\]-~]{1,255})"|([!#-~]{1,255})')


# Coroutines: FastAPI gives plain dependencies a thread, and a command would wait for one of those, too.
async def idempotency_key(
    given: Annotated[
        str | None,
        Header(alias=_NAME, description="The same request sent again under its key is carried out once."),
    ] = None,
) -> str | None:
    """The request's key, for `process(…, idempotency_key=…)`; None without one. Raises ValidationError."""
    if given is None:
        return None
    found = _KEY.fullmatch(given)
    if found is None:
        raise ValidationError({_NAME: ["must have 1 to 255 characters of visible ASCII, in quotes or without any"]})
    return found.group(1) or found.group(2)


async def required_idempotency_key(key: Annotated[str | None, Depends(idempotency_key)]) -> str:
    """The request's key. Raises HTTPException, 400, without one."""
    if key is None:
        raise HTTPException(400, f"this request needs the header {_NAME}, with a new key for every new request")
    return key


IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]
RequiredIdempotencyKey = Annotated[str, Depends(required_idempotency_key)]
