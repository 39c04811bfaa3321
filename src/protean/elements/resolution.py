"""How the elements of a domain fit together: names resolved, every misfit reported at once."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeVar

from protean.elements.aggregate import AggregateElement
from protean.elements.element import ElementInfo, ElementKind, StatefulElement, info_of
from protean.elements.handlers import CommandRoute, HandlerSpec, Method, marked_methods
from protean.elements.payload import PayloadElement
from protean.elements.projection import ProjectionElement
from protean.exceptions import ConfigurationError
from protean.suggestion import did_you_mean

B = TypeVar("B")


@dataclass(slots=True)
class Catalogue:
    """What lookups read. Built by `resolve`, not changed afterwards."""

    aggregates: tuple[type[AggregateElement], ...] = ()
    projections: tuple[type[ProjectionElement], ...] = ()
    messages: dict[str, type[PayloadElement]] = field(default_factory=dict)
    routes: dict[type, CommandRoute] = field(default_factory=dict)
    handlers: tuple[HandlerSpec, ...] = ()
    handlers_of: dict[str, tuple[HandlerSpec, ...]] = field(default_factory=dict)
    repositories: dict[type, type] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)


def resolve(elements: Mapping[str, type]) -> Catalogue:
    """Fit the elements together. Raises one ConfigurationError listing every problem found."""
    resolution = _Resolution(elements)
    catalogue = resolution.run()
    if resolution.problems:
        raise ConfigurationError(
            "this domain cannot start:\n" + "\n".join(f"- {problem}" for problem in resolution.problems)
            if len(resolution.problems) > 1
            else resolution.problems[0]
        )
    return catalogue


class _Resolution:
    def __init__(self, elements: Mapping[str, type]) -> None:
        self.elements = elements
        self.problems: list[str] = []

    def run(self) -> Catalogue:
        found = Catalogue(
            aggregates=tuple(c for c in self.elements.values() if issubclass(c, AggregateElement)),
            projections=tuple(c for c in self.elements.values() if issubclass(c, ProjectionElement)),
        )
        self._check_tables(found)
        for cls in self.elements.values():
            if issubclass(cls, PayloadElement):
                self._own_message(cls)
                found.messages[cls.__name__] = cls
        handlers: list[HandlerSpec] = []
        for cls in self.elements.values():
            match info_of(cls).kind:
                case ElementKind.COMMAND_HANDLER:
                    self._route_commands(cls, found.routes)
                case ElementKind.EVENT_HANDLER | ElementKind.PROJECTOR:
                    handlers.append(self._handler(cls))
                case ElementKind.REPOSITORY:
                    self._repository(cls, found.repositories)
        by_category = defaultdict(list)
        for spec in handlers:
            for category in spec.categories:
                by_category[category].append(spec)
        found.handlers = tuple(handlers)
        found.handlers_of = {category: tuple(specs) for category, specs in by_category.items()}
        return found

    def _check_tables(self, found: Catalogue) -> None:
        tables: dict[tuple[str, str], type] = {}
        categories: dict[str, type] = {}
        for cls in (*found.aggregates, *found.projections):
            info = cls.__protean__
            other = tables.setdefault((info.provider, info.schema_name), cls)
            if other is not cls:
                self.problems.append(
                    f"{other.__name__} and {cls.__name__} share the table `{info.schema_name}`; "
                    "give one another schema_name"
                )
        for aggregate in found.aggregates:
            category = aggregate.__protean__.stream_category
            if (other := categories.setdefault(category, aggregate)) is not aggregate:
                self.problems.append(
                    f"{other.__name__} and {aggregate.__name__} share the stream `{category}`; "
                    "give one another stream_category"
                )
            found.providers[category] = aggregate.__protean__.provider

    def _own_message(self, cls: type[PayloadElement]) -> None:
        aggregate = self._element(cls, "part_of", cls.__protean__.part_of, AggregateElement)
        if aggregate is not None:
            cls.__protean__ = replace(cls.__protean__, part_of=aggregate)

    def _route_commands(self, cls: type, routes: dict[type, CommandRoute]) -> None:
        aggregate = self._element(cls, "part_of", info_of(cls).part_of, AggregateElement)
        for command, method in self._methods(cls, ElementKind.COMMAND).items():
            if command in routes:
                self.problems.append(
                    f"{command.__name__} has two handlers, {routes[command].handler.__name__} and "
                    f"{cls.__name__}; a command has exactly one"
                )
            elif aggregate is not None:
                routes[command] = CommandRoute(aggregate, cls, method)

    def _handler(self, cls: type) -> HandlerSpec:
        info = info_of(cls)
        projector = info.kind is ElementKind.PROJECTOR
        projection = None
        if projector:
            projection = self._element(cls, "projector_for", info.options.get("projector_for"), ProjectionElement)
        methods = self._methods(cls, ElementKind.EVENT)
        for event in methods:
            source = event.__protean__.part_of
            if projection is None or not isinstance(source, type) or not issubclass(source, AggregateElement):
                continue
            here, there = projection.__protean__.provider, source.__protean__.provider
            if here != there:
                self.problems.append(
                    f"{cls.__name__} keeps {projection.__name__} in the database {here!r} and {event.__name__} is in "
                    f"{there!r}: a projector writes where its events are, so that both happen or neither; use an event "
                    "handler"
                )
        return HandlerSpec(
            name=info.name,
            kind=info.kind,
            cls=cls,
            sequenced=info.options.get("sequenced", projector),
            categories=self._categories(cls, info, list(methods)),
            methods=MappingProxyType({event.__name__: method for event, method in methods.items()}),
            projection=projection,
            subscription_type=info.options.get("subscription_type"),
            subscription_config=MappingProxyType(dict(info.options.get("subscription_config") or {})),
        )

    def _categories(self, cls: type, info: ElementInfo, events: list[type[PayloadElement]]) -> tuple[str, ...]:
        """The streams named by the options; without any, those of the events handled."""
        named = [*info.options.get("stream_categories", ())]
        if category := info.options.get("stream_category"):
            named.append(category)
        sources = [*info.options.get("aggregates", ()), *([] if info.part_of is None else [info.part_of])]
        option = "part_of" if info.part_of is not None else "aggregates"
        for source in sources:
            aggregate = self._element(cls, option, source, AggregateElement)
            if aggregate is not None:
                named.append(aggregate.__protean__.stream_category)
        told = {event: _category_of(event) for event in events}
        if not named and not sources:
            named = [category for category in told.values() if category is not None]
        for event, category in told.items():
            if category is not None and category not in named:
                self.problems.append(
                    f"{cls.__name__} handles {event.__name__} of the stream `{category}`, but listens to "
                    f"{', '.join(named) or 'none'} only; name its aggregate in the decorator too"
                )
        return tuple(dict.fromkeys(named))

    def _methods(self, cls: type, kind: ElementKind) -> dict[type[PayloadElement], Method]:
        methods: dict[type[PayloadElement], Method] = {}
        names: dict[type[PayloadElement], str] = {}
        marked = marked_methods(cls)
        if not marked:
            self.problems.append(f"{cls.__name__} handles nothing; mark its methods with @handle")
        for name, message, method in marked:
            found = self._element(cls, f"@handle on {name}", message, PayloadElement)
            if found is None:
                continue
            if found.__protean__.kind is not kind:
                self.problems.append(
                    f"{cls.__name__}.{name} handles the {found.__protean__.kind} {found.__name__}; "
                    f"here only {kind}s are handled"
                )
            elif inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
                self.problems.append(f"{cls.__name__}.{name} is a generator: it would run when nobody is looking")
            elif kind is ElementKind.COMMAND and inspect.iscoroutinefunction(method):
                self.problems.append(
                    f"{cls.__name__}.{name} is async; a command is handled where it is processed, in plain code"
                )
            elif found in methods:
                self.problems.append(
                    f"{found.__name__} has two methods in {cls.__name__}, {names[found]} and {name}; keep one"
                )
            else:
                methods[found], names[found] = method, name
        return methods

    def _repository(self, cls: type, repositories: dict[type, type]) -> None:
        info = info_of(cls)
        owner = self._element(cls, "part_of", info.part_of, StatefulElement)
        if owner is None:
            return
        if owner in repositories:
            self.problems.append(
                f"{owner.__name__} has two repositories, {repositories[owner].__name__} and {cls.__name__}"
            )
        repositories[owner] = cls

    def _element(self, cls: type, option: str, reference: object, base: type[B]) -> type[B] | None:
        """The element that an option names, or None and one more problem."""
        wanted = _NOUNS[base]
        if reference is None:
            self.problems.append(f"{info_of(cls)} does not say `{option}`; it needs {wanted} there")
            return None
        name = reference if isinstance(reference, str) else getattr(reference, "__name__", repr(reference))
        found = self.elements.get(name)
        if found is None or not (isinstance(reference, str) or found is reference):
            known = [known for known, element in self.elements.items() if issubclass(element, base)]
            self.problems.append(
                f"{info_of(cls)}: `{option}` names {name}, which this domain does not declare"
                f"{did_you_mean(name, known)}"
            )
            return None
        if not issubclass(found, base):
            self.problems.append(
                f"{info_of(cls)}: `{option}` names {name}, a {info_of(found).kind} where {wanted} is needed"
            )
            return None
        return found


_NOUNS: Final[dict[type, str]] = {
    AggregateElement: "an aggregate",
    ProjectionElement: "a projection",
    StatefulElement: "an aggregate or projection",
    PayloadElement: "an event or command",
}


def _category_of(event: type[PayloadElement]) -> str | None:
    """The stream an event travels in; None while its aggregate is unknown, which is reported already."""
    owner = event.__protean__.part_of
    return info_of(owner).stream_category if isinstance(owner, type) else None
