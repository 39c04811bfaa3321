"""Fact events: the whole state of an aggregate, told after every save beside what happened to it."""

from __future__ import annotations

from typing import Any, Final

from protean.elements.aggregate import AggregateElement
from protean.elements.associations import held, parts_in
from protean.elements.compiler import compile_class
from protean.elements.element import ElementInfo, ElementKind, StatefulElement, identity_of
from protean.elements.event import EventElement
from protean.exceptions import ConfigurationError, ValidationError
from protean.fields.associations import Bond
from protean.fields.spec import FieldKind, FieldSpec

#: What the category of an aggregate's facts adds to the aggregate's own.
SUFFIX: Final = "-fact"
#: Where the description of a fact event says so.
_FACT: Final = "fact_of"
#: What parts of an aggregate are told as.
_PARTS: Final = {Bond.MANY: FieldKind.LIST, Bond.ONE: FieldKind.DICT}


def fact_category(aggregate: type[AggregateElement]) -> str:
    """The stream category of its facts: `customer-fact`."""
    return f"{aggregate.__protean__.stream_category}{SUFFIX}"


def fact_event_of(aggregate: type[AggregateElement]) -> type[EventElement]:
    """The event `CustomerFactEvent`, with the fields of the aggregate, each optional: a fact may be older than a field.

    `__version__` of the aggregate is that of its facts: count it up, with an upcaster, when a field goes or changes
    its kind. Raises ConfigurationError for one that cannot be a version.
    """
    info = aggregate.__protean__
    version = getattr(aggregate, "__version__", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ConfigurationError(f"__version__ of {info.name}, that of its facts, is {version!r:.50}; use 1, 2, 3 …")
    name = fact_event_name(aggregate)
    written = type(name, (), {"__module__": info.module, "__doc__": f"The whole state of {info.name}, after a save."})
    return compile_class(
        written,
        EventElement,
        ElementInfo(
            name=name,
            kind=ElementKind.EVENT,
            module=info.module,
            fields={field: _told(spec) for field, spec in info.fields.items()}
            | {field: FieldSpec(kind=_PARTS[association.bond]) for field, association in held(aggregate)},
            stream_category=fact_category(aggregate),
            part_of=aggregate,
            version=version,
            options={_FACT: info.name, "published": info.options.get("published_facts", False)},
        ),
    )


def fact_event_name(aggregate: type[AggregateElement]) -> str:
    """What the event that tells its state is called: `CustomerFactEvent`."""
    return f"{aggregate.__name__}FactEvent"


def is_fact(event: type[Any]) -> bool:
    """Whether that event is told of a state, and by nobody raised."""
    return _FACT in event.__protean__.options


def fact_of(aggregate: AggregateElement, fact: type[EventElement]) -> EventElement:
    """The fact of its present state.

    Raises ValidationError for an identity that would make the stream of its events one of facts.
    """
    info = aggregate.__protean__
    if str(identity_of(aggregate)).startswith(f"{SUFFIX[1:]}-"):
        complaint = f"begins with `{SUFFIX[1:]}-`, which among {info.stream_category} names the streams of facts"
        raise ValidationError({info.identity or "id": [complaint]})
    return fact(**{name: aggregate.__dict__[name] for name in info.fields}, **_parts(aggregate))


def _told(spec: FieldSpec) -> FieldSpec:
    """The same shape without rules: what was good enough for the aggregate is told."""
    content = None if spec.content is None else _told(spec.content)
    return FieldSpec(kind=spec.kind, enum=spec.enum, content=content, value=spec.value, description=spec.description)


def _parts(element: StatefulElement) -> dict[str, Any]:
    """Its entities as JSON, and theirs in them."""
    parts: dict[str, Any] = {}
    for name, association in held(type(element)):
        found = [part.model_dump(mode="json") | _parts(part) for part in parts_in(element, name)]
        parts[name] = found if association.bond is Bond.MANY else next(iter(found), None)
    return parts
