"""Commands: wishes addressed to an aggregate, which one handler grants or refuses."""

from __future__ import annotations

from protean.elements.payload import PayloadElement
from protean.elements.typed import Unchanging


class Command(Unchanging):
    """What every class decorated with `@domain.command` is; naming it as a base is for type checkers only."""


class CommandElement(Command, PayloadElement):  # type: ignore[misc]  # to mypy, pydantic's models change
    """A command with pydantic under it."""
