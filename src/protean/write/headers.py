"""What travels with a message beside its payload: inherited from its cause, taken from `g`, added by enrichers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from protean import codec
from protean.elements.aggregate import AggregateElement
from protean.elements.enricher import Enricher
from protean.elements.payload import PayloadElement
from protean.exceptions import ConfigurationError, InvalidOperationError
from protean.fields.validation import json_value
from protean.message import MessageKind
from protean.write.context import ActiveDomain, g, is_active

#: Longest headers of a message, in characters of JSON. They are inherited by everything a message causes.
MAX_HEADERS = 8_192
#: Longest name of a header, in characters.
MAX_NAME = 100


def headers_of(
    domain: ActiveDomain,
    kind: MessageKind,
    payload: PayloadElement,
    inherited: Mapping[str, Any],
    aggregate: AggregateElement | None = None,
) -> Mapping[str, Any]:
    """The headers of a message about to be written; of two with one name, an enricher's, then that of `g`.

    Raises InvalidOperationError for a header that cannot travel, and what an enricher raises.
    """
    enrichers = domain.registry.enrichers(kind)
    if not enrichers and not domain.propagated:
        return domain.telemetry.carried(inherited)
    headers = dict(inherited)
    if is_active(domain):
        for name in domain.propagated:
            headers.pop(name, None)
            if name in g:
                headers[name] = _value(g.get(name), f"`g.{name}`, which [context] propagates,")
    headers.update(_added(enrichers, payload, aggregate))
    length = len(json.dumps(headers))
    if length > MAX_HEADERS:
        longest = max(headers, key=lambda name: len(json.dumps(headers[name])))
        raise InvalidOperationError(
            f"the headers of {payload.__protean__.name} have {length} characters of JSON, more than {MAX_HEADERS}, and "
            f"`{longest}` most of them; everything it causes inherits them, so let them name things, not contain them"
        )
    return domain.telemetry.carried(headers)


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names in `g` that a configuration lets travel. Raises ConfigurationError."""
    for name in names:
        if name in codec.KNOWN or name == "get" or not name.isidentifier() or name.startswith("_"):
            raise ConfigurationError(
                f"`propagate` in [context] names {name!r:.80}; it takes names of attributes of `g`, such as tenant_id, "
                "that do not begin with an underscore and are not taken: get, " + ", ".join(sorted(codec.KNOWN))
            )
    return tuple(dict.fromkeys(names))


def _added(
    enrichers: Sequence[Enricher], payload: PayloadElement, aggregate: AggregateElement | None
) -> dict[str, Any]:
    """What the enrichers say; each says it by itself, whatever order they were imported in."""
    added: dict[str, Any] = {}
    authors: dict[str, Enricher] = {}
    for enricher in enrichers:
        for name, value in _said_by(enricher, payload, aggregate).items():
            if name in added and added[name] != value:
                raise InvalidOperationError(
                    f"{authors[name].name} and {enricher.name} disagree about the header `{name}` of "
                    f"{payload.__protean__.name}; let one of them add it"
                )
            added[name], authors[name] = value, enricher
    return added


def _said_by(enricher: Enricher, payload: PayloadElement, aggregate: AggregateElement | None) -> dict[str, Any]:
    about = f"for {payload.__protean__.name}"
    try:
        said: object = enricher.headers(payload, aggregate)
    except Exception as error:
        error.add_note(f"raised by {enricher.name} {about}")
        raise
    if not isinstance(said, Mapping):
        raise InvalidOperationError(
            f"{enricher.name} returned {type(said).__name__} {about}; it returns a dict of headers, {{}} for none"
        )
    return {_name(name, enricher, about): _value(said[name], f"{enricher.name} {about}: `{name}`") for name in said}


def _name(name: object, enricher: Enricher, about: str) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
        raise InvalidOperationError(
            f"{enricher.name} {about}: {name!r:.120} is no name of a header; use a text of 1 to {MAX_NAME} characters"
        )
    if name in codec.KNOWN:
        raise InvalidOperationError(
            f"{enricher.name} {about}: `{name}` is what every message says of itself; give the header another name, "
            f"none of {', '.join(sorted(codec.KNOWN))}"
        )
    _value(name, f"{enricher.name} {about}: the name of a header")
    return name


def _value(value: object, what: str) -> Any:
    """A copy, so that nothing changes it later. Raises InvalidOperationError saying why it cannot be JSON."""
    try:
        return json_value(value)
    except ValueError as error:
        raise InvalidOperationError(f"{what} {error}; headers are JSON: texts, numbers, lists, dicts, None") from None
