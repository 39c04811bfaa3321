"""How the elements of a domain fit together: names resolved, every misfit reported at once."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeVar

from protean.elements.abstract import is_abstract
from protean.elements.aggregate import AggregateElement
from protean.elements.element import ElementInfo, ElementKind, StatefulElement, info_of
from protean.elements.entity import EntityElement
from protean.elements.handlers import (
    ANY,
    CommandRoute,
    HandlerSpec,
    Method,
    QueryRoute,
    SubscriberSpec,
    command_category,
    marked_methods,
    steps_of,
)
from protean.elements.payload import PayloadElement
from protean.elements.process_manager import ProcessManagerElement
from protean.elements.projection import ProjectionElement
from protean.elements.query import QueryElement
from protean.elements.resolving.evolving import chains_of, names_of, with_aliases
from protean.elements.resolving.parts import resolve_parts, root_of
from protean.elements.resolving.reactions import command_consumers, listening, process_consumer, subscribers
from protean.elements.resolving.reading import catch_all_of, events_of, route_queries
from protean.elements.resolving.sourcing import category_of, check_applying, fact_providers, with_facts
from protean.elements.resolving.storage import apply_models
from protean.elements.services import aggregates_named
from protean.elements.sourcing import EventSourcedElement
from protean.elements.upcaster import Chain
from protean.exceptions import ConfigurationError
from protean.suggestion import did_you_mean

B = TypeVar("B")


@dataclass(slots=True)
class Catalogue:
    """What lookups read. Built by `resolve`, not changed afterwards. `messages` are under their former names too."""

    aggregates: tuple[type[AggregateElement], ...] = ()
    projections: tuple[type[ProjectionElement], ...] = ()
    messages: dict[str, type[PayloadElement]] = field(default_factory=dict)
    routes: dict[type, CommandRoute] = field(default_factory=dict)
    processes: tuple[type[ProcessManagerElement], ...] = ()
    handlers: tuple[HandlerSpec, ...] = ()
    subscribers: tuple[SubscriberSpec, ...] = ()
    consumers: tuple[HandlerSpec, ...] = ()
    handlers_of: dict[str, tuple[HandlerSpec, ...]] = field(default_factory=dict)
    repositories: dict[type, type] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    chains: dict[type[PayloadElement], Chain] = field(default_factory=dict)
    query_routes: dict[type, QueryRoute] = field(default_factory=dict)
    published: frozenset[str] = frozenset()


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
            processes=tuple(c for c in self.elements.values() if issubclass(c, ProcessManagerElement)),
        )
        resolve_parts(self.elements, self.problems)
        apply_models(self.elements, self._stored, self.problems)
        self._check_tables(found)
        for cls in self.elements.values():
            if issubclass(cls, QueryElement):
                self._own_query(cls)
            elif issubclass(cls, PayloadElement):
                self._own_message(cls)
                found.messages[cls.__name__] = cls
        found.messages = with_aliases(found.messages, self.elements, self.problems)
        found.published = frozenset(
            name for name, cls in found.messages.items() if cls.__protean__.options.get("published")
        )
        check_applying(found.aggregates, found.messages, self.problems)
        found.chains = chains_of(self.elements, found.messages, self.problems)
        handlers = self._handlers(found)
        handlers += [self._process(cls, found.messages) for cls in found.processes]
        found.handlers = tuple(handlers)
        found.subscribers = tuple(subscribers(self.elements.values()))
        reading = (subscriber.handler for subscriber in found.subscribers)
        found.consumers = (*handlers, *command_consumers(found.routes), *reading)
        by_category = defaultdict(list)
        for spec in found.consumers:
            for category in spec.categories:
                by_category[category].append(spec)
        found.handlers_of = {category: tuple(specs) for category, specs in by_category.items()}
        return found

    def _handlers(self, found: Catalogue) -> list[HandlerSpec]:
        """Event handlers and projectors; who handles commands and queries, and keeps what, goes into `found`."""
        handlers: list[HandlerSpec] = []
        for cls in self.elements.values():
            match info_of(cls).kind:
                case ElementKind.COMMAND_HANDLER:
                    self._route_commands(cls, found.routes)
                case ElementKind.EVENT_HANDLER | ElementKind.PROJECTOR:
                    handlers.append(self._handler(cls))
                case ElementKind.DOMAIN_SERVICE | ElementKind.APPLICATION_SERVICE:
                    for reference in aggregates_named(cls) or (None,):
                        self._element(cls, "part_of", reference, AggregateElement)
                case ElementKind.REPOSITORY:
                    self._repository(cls, found.repositories)
                case ElementKind.QUERY_HANDLER:
                    projection = self._element(cls, "part_of", info_of(cls).part_of, ProjectionElement)
                    answers = self._methods(cls, ElementKind.QUERY)
                    route_queries(cls, projection, answers, found.query_routes, self.problems)
        return handlers

    def _check_tables(self, found: Catalogue) -> None:
        tables: dict[tuple[str, str], type] = {}
        categories: dict[str, type] = {}
        entities = (cls for cls in self.elements.values() if issubclass(cls, EntityElement) and _has_table(cls))
        for cls in (*found.aggregates, *entities, *found.projections, *found.processes):
            if issubclass(cls, EventSourcedElement):
                continue  # it has no table
            info = cls.__protean__
            other = tables.setdefault((info.provider, info.schema_name), cls)
            if other is not cls:
                self.problems.append(
                    f"{other.__name__} and {cls.__name__} share the table `{info.schema_name}`; "
                    "give one another schema_name"
                )
        for aggregate in (*found.aggregates, *found.processes):
            category = aggregate.__protean__.stream_category
            if (other := categories.setdefault(category, aggregate)) is not aggregate:
                self.problems.append(
                    f"{other.__name__} and {aggregate.__name__} share the stream `{category}`; "
                    "give one another stream_category"
                )
            found.providers[category] = aggregate.__protean__.provider
            found.providers[command_category(category)] = aggregate.__protean__.provider
        found.providers.update(fact_providers(found.aggregates))

    def _own_message(self, cls: type[PayloadElement]) -> None:
        aggregate = self._element(cls, "part_of", cls.__protean__.part_of, AggregateElement)
        if aggregate is not None:
            cls.__protean__ = replace(cls.__protean__, part_of=aggregate)

    def _own_query(self, cls: type[QueryElement]) -> None:
        projection = self._element(cls, "part_of", cls.__protean__.part_of, ProjectionElement)
        if projection is not None:
            cls.__protean__ = replace(cls.__protean__, part_of=projection)

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
        categories = self._categories(cls, info, list(methods))
        if (catch_all := catch_all_of(cls, self.problems)) is not None:
            others = events_of(cls, categories, self.elements, self.problems)
            methods = {**dict.fromkeys(others, catch_all), **methods}
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
            categories=categories,
            methods=MappingProxyType({name: method for event, method in methods.items() for name in names_of(event)}),
            projection=projection,
            subscription_type=info.options.get("subscription_type"),
            subscription_config=MappingProxyType(dict(info.options.get("subscription_config") or {})),
        )

    def _process(self, cls: type[ProcessManagerElement], messages: dict[str, type[PayloadElement]]) -> HandlerSpec:
        methods = self._methods(cls, ElementKind.EVENT)
        categories = self._categories(cls, listening(cls.__protean__), list(methods))
        return process_consumer(cls, methods, categories, messages, self.problems)

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
        told = {event: category_of(event) for event in events}
        named = with_facts(named, events)
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
            if message == ANY and kind is ElementKind.EVENT:
                continue
            found = self._element(cls, f"@handle on {name}", message, PayloadElement)
            if found is None:
                continue
            if found.__protean__.kind is not kind:
                self.problems.append(
                    f"{cls.__name__}.{name} handles the {found.__protean__.kind} {found.__name__}; "
                    f"here only {'queries' if kind is ElementKind.QUERY else f'{kind}s'} are handled"
                )
            elif steps_of(method) and not issubclass(cls, ProcessManagerElement):
                self.problems.append(
                    f"{cls.__name__}.{name} says `correlate`, which only a process manager has a use for; "
                    f"{cls.__name__} is declared with @domain.{info_of(cls).kind.name.lower()}"
                )
            elif inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
                self.problems.append(f"{cls.__name__}.{name} is a generator: it would run when nobody is looking")
            elif kind is not ElementKind.EVENT and inspect.iscoroutinefunction(method):
                where = "a command is handled where it is processed"
                where = "a query is answered where it is dispatched" if kind is ElementKind.QUERY else where
                self.problems.append(f"{cls.__name__}.{name} is async; {where}, in plain code")
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
        if issubclass(owner, EntityElement):
            self.problems.append(
                f"{info} is of {owner.__name__}, an entity, which is loaded and saved with the aggregate that has it; "
                "give that one a repository"
            )
            return
        if owner in repositories:
            self.problems.append(
                f"{owner.__name__} has two repositories, {repositories[owner].__name__} and {cls.__name__}"
            )
        repositories[owner] = cls

    def _stored(self, cls: type, option: str, reference: object) -> type[StatefulElement] | None:
        return self._element(cls, option, reference, StatefulElement)

    def _element(self, cls: type, option: str, reference: object, base: type[B]) -> type[B] | None:
        """The element that an option names, or None and one more problem."""
        wanted = _NOUNS[base]
        if reference is None:
            self.problems.append(f"{info_of(cls)} does not say `{option}`; it needs {wanted} there")
            return None
        name = reference if isinstance(reference, str) else getattr(reference, "__name__", repr(reference))
        found = self.elements.get(name)
        if is_abstract(reference):
            self.problems.append(
                f"{info_of(cls)}: `{option}` names {name}, which is abstract; name a class that inherits from it"
            )
            return None
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


def _has_table(entity: type[EntityElement]) -> bool:
    """An event-sourced aggregate has none, and neither have its parts."""
    root = root_of(entity)
    return root is not None and not issubclass(root, EventSourcedElement)


_NOUNS: Final[dict[type, str]] = {
    AggregateElement: "an aggregate",
    ProjectionElement: "a projection",
    StatefulElement: "an aggregate or projection",
    PayloadElement: "an event or command",
}
