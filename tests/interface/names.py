"""Every name that users type. Each is proven by tests marked `@pytest.mark.proves("the name")`, or is still to come.

A new public name goes into a section here, and its proof gets the mark; `make docs` then writes the table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """Names of one kind. `everywhere`: what they do touches a database, so each of them has to be proven on all."""

    title: str
    names: tuple[str, ...]
    everywhere: bool = True


def _each(form: str, names: str) -> tuple[str, ...]:
    return tuple(form.format(name) for name in names.split())


SECTIONS = (
    Section(
        "Priority",
        (
            "protean.utils.processing.Priority",
            "protean.utils.processing.processing_priority",
            "protean.utils.processing.current_priority",
        ),
    ),
    Section(
        "A domain",
        (
            "protean.Domain",
            *_each("domain.{}", "init domain_context repository_for process view_for dispatch result_of process_many"),
            *_each("domain.{}", "rebuild event_store create_snapshot fire_timeouts close"),
            *_each("process({}=…)", "priority asynchronous idempotency_key correlation_id"),
            *_each("protean.{}", "current_domain g UnitOfWork current_message"),
        ),
    ),
    Section(
        "Declaring",
        (
            *_each(
                "@domain.{}", "aggregate entity value_object command event command_handler event_handler projection"
            ),
            *_each("@domain.{}", "projector process_manager domain_service application_service repository query"),
            *_each("@domain.{}", "query_handler upcaster event_enricher command_enricher database_model"),
            *_each("protean.{}", "Column Repository"),
            *_each("@protean.{}", "handle on read apply use_case handle_timeout invariant.pre invariant.post"),
        ),
    ),
    Section("Streams of others", ("@domain.subscriber",), everywhere=False),
    Section(
        "Options of declarations",
        (
            *_each(
                "@domain.aggregate({}=…)", "stream_category provider schema_name event_sourced fact_events abstract"
            ),
            *_each("@domain.aggregate({}=…)", "auto_add_id_field indexes"),
            *_each("@domain.entity({}=…)", "part_of schema_name"),
            *_each("@domain.event({}=…)", "part_of aliases"),
            *_each("@domain.projector({}=…)", "projector_for aggregates stream_categories sequenced"),
            *_each("@domain.event_handler({}=…)", "part_of stream_category sequenced"),
            *_each("@domain.upcaster({}=…)", "event_type from_version to_version"),
        ),
    ),
    Section(
        "How a handler hears of messages",
        _each("@domain.event_handler({}=…)", "subscription_type subscription_config"),
        everywhere=False,
    ),
    Section(
        "Fields",
        (
            *_each(
                "protean.fields.{}", "Auto Boolean Date DateTime Decimal Dict Float HasMany HasOne Identifier Integer"
            ),
            *_each("protean.fields.{}", "List Method Nested Reference Status String Text ValueObject"),
            *_each("String({}=…)", "required identifier default unique choices max_length min_length validators"),
            *_each("String({}=…)", "description referenced_as"),
            *_each("Integer({}=…)", "min_value max_value"),
            "Auto(increment=…)",
        ),
    ),
    Section(
        "Aggregates",
        ("aggregate.raise_", "aggregate._version", "aggregate.to_dict", "protean.atomic_change"),
    ),
    Section(
        "Repositories and views",
        (
            *_each("repo.{}", "add get get_or_none find find_by exists remove query"),
            *_each("repo.get({}=…)", "at_version as_of"),
            "repo._dao.query.all",
            *_each("view.{}", "get get_or_none find find_by exists count query"),
        ),
    ),
    Section(
        "Queries",
        (
            *_each(
                "query.{}", "filter exclude order_by limit offset only all first count exists iterator update delete"
            ),
            *_each("results.{}", "items total first last has_next has_prev"),
            *_each("__{}", "exact iexact contains icontains startswith endswith gt gte lt lte in isnull"),
            *_each("protean.Q.{}", "__and__ __or__ __invert__"),
        ),
    ),
    Section(
        "Errors",
        (
            *_each("protean.exceptions.{}", "ProteanError ValidationError TakenError ObjectNotFoundError"),
            *_each("protean.exceptions.{}", "ExpectedVersionError InvalidOperationError NotSupportedError"),
            *_each("protean.exceptions.{}", "DuplicateCommandError DatabaseError ConfigurationError"),
        ),
    ),
    Section(
        "Errors of servers and messages",
        _each("protean.exceptions.{}", "BrokerError DeserializationError UpcastError RebuildError"),
        everywhere=False,
    ),
    Section(
        "Configuration",
        (
            *_each("[server] {}", "default_subscription_type messages_per_tick tick_interval"),
            *_each("[server.priority_lanes] {}", "enabled threshold backfill_suffix"),
            *_each("[outbox] {}", "messages_per_tick tick_interval broker"),
            *_each("[databases.default] {}", "provider database_uri"),
            *_each("[brokers.default] {}", "provider uri"),
            *_each("{}", "event_processing command_processing create_tables"),
        ),
        everywhere=False,
    ),
    Section(
        "Command line",
        (
            *_each("protean {}", "new demo dev server shell doctor observatory"),
            *_each("protean server {}", "--domain --workers --lanes --in-process"),
            *_each("protean db {}", "setup truncate drop revision upgrade current history"),
            *_each("protean outbox {}", "status republish cleanup revive"),
            *_each("protean lanes {}", "status doctor pause resume"),
            *_each("protean dlq {}", "list inspect replay replay-all discard purge"),
            *_each("protean projection {}", "rebuild status"),
            *_each("protean events {}", "read search trace"),
            "protean snapshot create",
        ),
        everywhere=False,
    ),
    Section(
        "Streams, tables and log lines",
        (
            *_each("stream `{}`", "customer customer:backfill customer:dlq customer:command"),
            "entry `data`, and on dead letters why and whose it is",
            "table `outbox`",
            "log `Initialized priority lanes for …`",
            "log `[…] Processing … (ID: …) -- acked`",
        ),
        everywhere=False,
    ),
    Section(
        "Published events",
        ("@domain.event(published=…)", "@domain.aggregate(published_facts=…)", "[outbox] external_brokers"),
        everywhere=False,
    ),
    Section(
        "FastAPI",
        (
            *_each("protean.integrations.fastapi.{}", "DomainContextMiddleware register_exception_handlers process"),
            *_each("protean.integrations.fastapi.{}", "create_health_router IdempotencyKey"),
        ),
        everywhere=False,
    ),
    Section(
        "Testing",
        (
            *_each("protean.testing.{}", "given given_aggregate given_process like drain stopped_clock in_memory"),
            *_each("protean.testing.{}", "assert_golden write_golden"),
        ),
        everywhere=False,
    ),
)

#: What is promised and not there yet. A test keeps this honest: what exists has to move into a section above.
TO_COME = (
    "@domain.backfill",
    *_each("protean backfill {}", "list run status watch pause resume cancel set errors retry-failed verify report"),
)
