"""All elements of a domain: declared one by one, checked together, then found in one step."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from protean.elements.aggregate import AggregateElement
from protean.elements.element import info_of
from protean.elements.enricher import Enricher
from protean.elements.handlers import CommandRoute, HandlerSpec, QueryRoute, SubscriberSpec
from protean.elements.payload import PayloadElement
from protean.elements.process_manager import ProcessManagerElement
from protean.elements.projection import ProjectionElement
from protean.elements.resolution import Catalogue, resolve
from protean.elements.upcaster import Chain
from protean.exceptions import ConfigurationError, UnknownTypeError
from protean.message import MessageKind
from protean.suggestion import did_you_mean


class Registry:
    """The elements of one domain. Lookups compile what was declared since the last one."""

    def __init__(self) -> None:
        self._elements: dict[str, type] = {}
        self._enrichers: dict[MessageKind, tuple[Enricher, ...]] = dict.fromkeys(MessageKind, ())
        self._catalogue: Catalogue | None = None

    def declare(self, cls: type) -> None:
        """Take in a declared class. Raises ConfigurationError when another has its name."""
        info = info_of(cls)
        other = self._elements.get(info.name)
        if other is not None:
            raise ConfigurationError(
                f"two elements are called {info.name}: the {info_of(other)} and the {info}; rename one, "
                "messages and consumer groups go by that name"
            )
        self._elements[info.name] = cls
        self._catalogue = None

    def enrich(self, enricher: Enricher) -> None:
        """Take in a function that adds headers to messages."""
        self._enrichers[enricher.kind] += (enricher,)

    def copy(self) -> Registry:
        """Another one with the same elements, in which more can be declared."""
        other = Registry()
        other._elements, other._enrichers, other._catalogue = (
            dict(self._elements),
            dict(self._enrichers),
            self._catalogue,
        )
        return other

    def compile(self) -> None:
        """Resolve names and check how the elements fit together.

        Raises one ConfigurationError listing every problem found.
        """
        self._catalogue = resolve(self._elements)

    @property
    def elements(self) -> Mapping[str, type]:
        """Everything declared, by name, as declared so far."""
        return MappingProxyType(self._elements)

    @property
    def aggregates(self) -> tuple[type[AggregateElement], ...]:
        return self._compiled.aggregates

    @property
    def projections(self) -> tuple[type[ProjectionElement], ...]:
        return self._compiled.projections

    @property
    def processes(self) -> tuple[type[ProcessManagerElement], ...]:
        """The process managers."""
        return self._compiled.processes

    @property
    def handlers(self) -> tuple[HandlerSpec, ...]:
        """Event handlers and projectors, in order of declaration, and process managers."""
        return self._compiled.handlers

    @property
    def consumers(self) -> tuple[HandlerSpec, ...]:
        """All that have a consumer group: also whoever takes asynchronous commands, and subscribers."""
        return self._compiled.consumers

    @property
    def subscribers(self) -> tuple[SubscriberSpec, ...]:
        """The readers of foreign streams."""
        return self._compiled.subscribers

    def handlers_of(self, category: str) -> tuple[HandlerSpec, ...]:
        """Those that listen to a stream category."""
        return self._compiled.handlers_of.get(category, ())

    def provider_of(self, category: str) -> str:
        """The database that holds the history of a stream category; `default` for streams of others."""
        return self._compiled.providers.get(category, "default")

    def command_route(self, command: type) -> CommandRoute:
        """Who handles a command. Raises ConfigurationError when nobody does."""
        route = self._compiled.routes.get(command)
        if route is None:
            raise ConfigurationError(
                f"no command handler of this domain handles {command.__name__}; declare a class with "
                "@domain.command_handler(part_of=…) and a method marked @handle"
                f"({command.__name__}), and see that its module is imported"
            )
        return route

    def query_route(self, query: type) -> QueryRoute:
        """Who answers a query. Raises ConfigurationError when nobody does."""
        route = self._compiled.query_routes.get(query)
        if route is None:
            raise ConfigurationError(
                f"no query handler of this domain answers {query.__name__}; declare a class with "
                f"@domain.query_handler(part_of=…) and a method marked @read({query.__name__}), and see that its "
                "module is imported"
            )
        return route

    def message_type(self, name: str) -> type[PayloadElement]:
        """The event or command that has that name, or had it once. Raises UnknownTypeError."""
        cls = self._compiled.messages.get(name)
        if cls is None:
            suggestion = did_you_mean(name, self._compiled.messages)
            raise UnknownTypeError(f"this domain has no event or command called {name!r:.80}{suggestion}")
        return cls

    @property
    def published(self) -> frozenset[str]:
        """The names of the events that go to brokers beyond the domain."""
        return self._compiled.published

    def chain(self, message: type[PayloadElement]) -> Chain:
        """The upcasters of an event or command, each under the version it starts from."""
        return self._compiled.chains.get(message, {})

    def enrichers(self, kind: MessageKind) -> tuple[Enricher, ...]:
        """Those of events or of commands, in order of declaration."""
        return self._enrichers[kind]

    def repository_class(self, aggregate: type) -> type | None:
        """The custom repository declared for an aggregate or projection."""
        return self._compiled.repositories.get(aggregate)

    def owner_of(self, repository: type) -> type | None:
        """The aggregate or projection that a custom repository is of."""
        owners = (owner for owner, cls in self._compiled.repositories.items() if cls is repository)
        return next(owners, None)

    @property
    def _compiled(self) -> Catalogue:
        if self._catalogue is None:
            self._catalogue = resolve(self._elements)
        return self._catalogue
