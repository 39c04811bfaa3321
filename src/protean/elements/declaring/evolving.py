"""Declaring how messages change over the years, and what travels with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack, cast

from protean.elements.declaring.base import Declaring, Decorator, plain
from protean.elements.element import ElementKind
from protean.elements.enricher import EnricherFunction, checked_enricher
from protean.elements.options import UpcasterOptions
from protean.elements.upcaster import checked_upcaster
from protean.exceptions import ConfigurationError
from protean.message import MessageKind

T = TypeVar("T")
E = TypeVar("E", bound=EnricherFunction)


class EvolvingDeclarations(Declaring):
    def upcaster(self, cls: object = None, /, **options: Unpack[UpcasterOptions]) -> Decorator:
        """A class whose `upcast(self, data)` turns the payload of one version into that of a later one."""
        if cls is not None:
            raise ConfigurationError(
                "@domain.upcaster needs to know what it reads: "
                "@domain.upcaster(event_type=…, from_version=1, to_version=2)"
            )
        return cast("Decorator", self._declare(ElementKind.UPCASTER, None, options, _upcaster))

    def event_enricher(self, function: E, /) -> E:
        """A function of an event, or an event and its aggregate, whose result is merged into the event's headers."""
        self.registry.enrich(checked_enricher(MessageKind.EVENT, function))
        return function

    def command_enricher(self, function: E, /) -> E:
        """A function of a command whose result is merged into its headers, which all that it causes inherits."""
        self.registry.enrich(checked_enricher(MessageKind.COMMAND, function))
        return function


def _upcaster(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type:
    checked_upcaster(cls, options)
    return plain(cls, kind, options)
