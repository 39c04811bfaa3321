"""Every option, its meaning and its default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from protean.config.external import check_external, check_own
from protean.config.interpolation import Interpolated
from protean.config.providers import BROKER, DATABASE
from protean.config.reading import Place, read
from protean.config.uri import Uri
from protean.exceptions import ConfigurationError

Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**6)]


#: What error texts call a configuration that was not read from a file.
_MAPPING: Final = Place("the configuration")


class Section(BaseModel):
    """A table of the file: fixed once read, with nothing unknown in it, and a number is not a text."""

    # The validator of all sections is made at once, at the first load: who only imports the package needs none.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _typed(cls, value: object, info: ValidationInfo) -> object:
        """`"${PORT|8000}"` is a text in the file and may be meant as a number."""
        if isinstance(value, Interpolated) and info.field_name is not None:
            return value.as_type(cls.model_fields[info.field_name].annotation)
        return value


def _section() -> Any:
    """A section that may be left out, which is the same as an empty one."""
    return Field(default_factory=dict, validate_default=True)


class PriorityLanesConfig(Section):
    """`[server.priority_lanes]`: a second stream for what may wait."""

    enabled: bool = Field(default=False, description="Whether backfill work has a lane of its own.")
    threshold: int = Field(default=0, ge=-100, le=101, description="Priorities below this are backfill.")
    backfill_suffix: str = Field(
        default="backfill",
        pattern=r"^[a-z0-9_-]+$",
        max_length=40,
        description="What follows `:` in the name of the backfill stream.",
    )
    min_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="The share of handler time backfill gets under endless production load; 0.0: none.",
    )

    @field_validator("backfill_suffix")
    @classmethod
    def _not_taken(cls, suffix: str) -> str:
        if suffix in ("dlq", "command", "published"):
            raise ValueError(f"cannot be `{suffix}`, which names another stream")
        return suffix


class RetryConfig(Section):
    """`[server.retry]`: what happens to a message whose handler failed."""

    max_retries: int = Field(default=3, ge=0, le=1000, description="Attempts after the first, then dead letter.")
    base_delay: Seconds = Field(default=1.0, description="Seconds before the first retry; doubles each time.")
    max_delay: Seconds = Field(default=300.0, description="Seconds that a delay grows to at most.")
    jitter: float = Field(
        default=0.25, ge=0, le=1, allow_inf_nan=False, description="Share of a delay that is left to chance."
    )

    @model_validator(mode="after")
    def _ordered(self) -> RetryConfig:
        if self.max_delay < self.base_delay:
            raise ValueError(f"max_delay {self.max_delay} is less than base_delay {self.base_delay}")
        return self


class BreakerConfig(Section):
    """`[server.breaker]`: what happens to a handler that fails at everything it is given."""

    failures: int = Field(
        default=20,
        ge=0,
        le=10**6,
        description="Messages failing for the first time, in a row, until nothing more is handed over; 0: never.",
    )
    cool_down: Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False)] = Field(
        default=1.0, description="Seconds before a few messages are let through as trials; doubles when they fail."
    )
    max_cool_down: Seconds = Field(default=8.0, description="Seconds that the wait for trials grows to at most.")

    @model_validator(mode="after")
    def _ordered(self) -> BreakerConfig:
        if self.max_cool_down < self.cool_down:
            raise ValueError(f"max_cool_down {self.max_cool_down} is less than cool_down {self.cool_down}")
        return self


class ServerConfig(Section):
    """`[server]`: how the engine handles messages."""

    default_subscription_type: Literal["stream"] = Field(
        default="stream", description="How handlers hear of messages: by the broker's streams."
    )
    messages_per_tick: Count = Field(
        default=100, description="Messages in one read and one group commit. More is faster and lets others wait."
    )
    tick_interval: Seconds = Field(default=0.0, description="Seconds of pause after each read.")
    grace_period: Seconds = Field(
        default=30.0, description="Seconds that a shutdown waits for what is in hand before it is given back."
    )
    handler_timeout: Seconds = Field(
        default=0.0,
        description="Seconds a handler may take before its process ends itself and is started again; 0: any time.",
    )
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Port of `/livez`, `/readyz` and `/healthz`; 0: none."
    )
    health_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address of that port; `0.0.0.0` for all there are."
    )
    inbox_retention: float = Field(
        default=24.0,
        ge=0,
        le=10**6,
        allow_inf_nan=False,
        description="Hours that a handled message is noted at least; longer, while an older one is not handled.",
    )
    idempotency_retention: float = Field(
        default=7.0,
        gt=0,
        le=10**5,
        allow_inf_nan=False,
        description="Days that an idempotency key is remembered; the same command sent later is carried out again.",
    )
    result_retention: float = Field(
        default=7.0,
        gt=0,
        le=10**5,
        allow_inf_nan=False,
        description="Days that the result of an asynchronous command can be asked for.",
    )
    priority_lanes: PriorityLanesConfig = _section()
    retry: RetryConfig = _section()
    breaker: BreakerConfig = _section()


class OutboxConfig(Section):
    """`[outbox]`: how committed messages get to the broker."""

    messages_per_tick: Count = Field(
        default=500, description="Rows published in one transaction. More is faster and holds locks longer."
    )
    tick_interval: Seconds = Field(default=0.0, description="Seconds of pause after each batch.")
    broker: str = Field(default="default", description="Which of `[brokers.…]` messages are published to.")
    external_brokers: list[str] = Field(
        default_factory=list,
        description="Which of `[brokers.…]` get the events declared with `published=True`, for readers beyond this "
        "domain.",
    )
    retention: float = Field(
        default=24.0,
        ge=0,
        le=10**6,
        allow_inf_nan=False,
        description="Hours that published rows are kept for looking at.",
    )


class ContextConfig(Section):
    """`[context]`: what of the surroundings of running code goes along with its messages."""

    propagate: list[str] = Field(
        default_factory=list,
        description="Attributes of `g` that travel with messages and are in `g` again in their handlers.",
    )


class EventStoreConfig(Section):
    """`[event_store]`: how event-sourced aggregates are kept."""

    snapshot_threshold: int = Field(
        default=100,
        ge=0,
        le=10**9,
        description="Events of an event-sourced aggregate after which its state is kept beside them; 0: never. Fewer "
        "make loading faster and saving slower.",
    )


class ObservatoryConfig(Section):
    """`[observatory]`: what is kept for those who watch."""

    history: float = Field(
        default=24.0,
        ge=0,
        le=24 * 31,
        allow_inf_nan=False,
        description="Hours for which each minute's latencies are kept on the broker; 0: only while somebody watches.",
    )
    redact: list[str] = Field(
        default_factory=list,
        description="Names of fields that the Observatory masks, at any depth, also in payloads that were asked for.",
    )


class DatabaseConfig(Section):
    """`[databases.<name>]`. The provider may be left out where the URI shows it."""

    provider: str = Field(
        default="memory",
        description="The kind of database: `memory`, `sqlite`, `postgresql`, or one that an installed package brings.",
    )
    database_uri: Uri = Field(
        default=Uri(""), description='Where it is; `"embedded"` is a private PostgreSQL under `.protean/`.'
    )
    pool_size: int = Field(default=5, ge=1, le=1000, description="Connections a process holds at most.")
    pool_timeout: Seconds = Field(default=30.0, description="Seconds to wait for one that another thread has.")
    connect_timeout: int = Field(default=5, ge=1, le=3600, description="Seconds for one attempt to connect.")
    statement_timeout: Seconds = Field(
        default=0.0, description="Seconds a statement may take; 0: any time, which migrations may need."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="What another package's adapter asks for.")

    @model_validator(mode="before")
    @classmethod
    def _inferred(cls, values: Any) -> Any:
        return DATABASE.inferred(values)

    @field_validator("provider")
    @classmethod
    def _spelt(cls, provider: str) -> str:
        return DATABASE.spelt(provider)

    @field_validator("database_uri")
    @classmethod
    def _known(cls, uri: Uri, info: ValidationInfo) -> Uri:
        return DATABASE.checked(uri, info.data.get("provider", "memory"))

    @model_validator(mode="after")
    def _without_options(self) -> DatabaseConfig:
        DATABASE.refuse_options(self.provider, self.options)
        return self


class BrokerConfig(Section):
    """`[brokers.<name>]`. The provider may be left out where the URI shows it."""

    provider: str = Field(
        default="memory", description="The kind of broker: `memory`, `redis`, or one that an installed package brings."
    )
    uri: Uri = Field(default=Uri(""), description='Where it is; `"embedded"` is a private Valkey under `.protean/`.')
    stream_prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.:-]*$",
        max_length=40,
        description="Put before every stream's name, for brokers that several domains share.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="What another package's adapter asks for.")
    published_length: int = Field(
        default=100_000,
        ge=0,
        le=10**9,
        description="Published events kept on each stream of an external broker, about; the oldest go first, read or "
        "not; 0: all are kept.",
    )

    @model_validator(mode="before")
    @classmethod
    def _inferred(cls, values: Any) -> Any:
        return BROKER.inferred(values)

    @field_validator("provider")
    @classmethod
    def _spelt(cls, provider: str) -> str:
        return BROKER.spelt(provider)

    @field_validator("uri")
    @classmethod
    def _known(cls, uri: Uri, info: ValidationInfo) -> Uri:
        return BROKER.checked(uri, info.data.get("provider", "memory"))

    @model_validator(mode="after")
    def _without_options(self) -> BrokerConfig:
        BROKER.refuse_options(self.provider, self.options)
        return self


def _event_processing(read: dict[str, Any]) -> Literal["sync", "async"]:
    """Asynchronous exactly where there is a broker to carry events to a server."""
    broker = read.get("brokers", {}).get(read["outbox"].broker) if "outbox" in read else None
    return "async" if broker is not None and broker.provider != "memory" else "sync"


class Config(Section):
    """The whole of a domain's configuration. Without a file: everything in memory, handlers run at commit."""

    server: ServerConfig = _section()
    outbox: OutboxConfig = _section()
    context: ContextConfig = _section()
    event_store: EventStoreConfig = _section()
    observatory: ObservatoryConfig = _section()
    databases: dict[str, DatabaseConfig] = Field(
        default_factory=dict, validate_default=True, description="By name; `default` is always there."
    )
    brokers: dict[str, BrokerConfig] = Field(default_factory=dict, description="By name.")
    event_processing: Literal["sync", "async"] = Field(
        default_factory=_event_processing,
        description="sync: handlers run right after commit; async: a server runs them. By default async with a broker.",
    )
    command_processing: Literal["sync", "async"] = Field(
        default="sync",
        description="sync: process() handles a command where it is called; async: a server does, later. A call may say "
        "`asynchronous` itself.",
    )
    create_tables: bool | None = Field(
        default=None,
        description="Whether missing tables are made when a database is opened. By default everywhere but where "
        "PROTEAN_ENV is `production`, which has `protean db setup`.",
    )
    custom: dict[str, Any] = Field(default_factory=dict, description="Yours; protean does not look into it.")

    @field_validator("databases", mode="before")
    @classmethod
    def _with_default(cls, databases: Any) -> Any:
        return {"default": {}, **databases} if isinstance(databases, Mapping) else databases

    @model_validator(mode="after")
    def _broker_exists(self) -> Config:
        check_own(self.outbox.broker, self.brokers, asynchronous=self.event_processing == "async")
        return self

    @model_validator(mode="after")
    def _external_brokers_exist(self) -> Config:
        check_external(self.outbox.external_brokers, self.outbox.broker, self.brokers)
        return self

    _source: Path | None = PrivateAttr(default=None)
    _root: Path = PrivateAttr(default_factory=Path.cwd)
    _env: str | None = PrivateAttr(default=None)

    @property
    def source(self) -> Path | None:
        """The file this was read from, if it was."""
        return self._source

    @property
    def root(self) -> Path:
        """The folder that relative paths start from and that `.protean/` is made in."""
        return self._root

    @property
    def env(self) -> str | None:
        """The overlay that was asked for, as by PROTEAN_ENV."""
        return self._env

    @property
    def creates_tables(self) -> bool:
        """Whether missing tables are made when a database is opened."""
        return self._env != "production" if self.create_tables is None else self.create_tables

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        *,
        root: Path | None = None,
        env: str | None = None,
        environ: Mapping[str, str] = os.environ,
        place: Place = _MAPPING,
    ) -> Config:
        """A configuration given as a dict in the shape of the file, overlays and variables included.

        `env` is the overlay to put over it, by default PROTEAN_ENV. Raises ConfigurationError listing every
        problem and where in `place` it is.
        """
        env = env or environ.get("PROTEAN_ENV") or None
        try:
            config = read(cls, mapping, place=place, env=env, environ=environ)
        except RecursionError:
            raise ConfigurationError(f"{place.file or place.name} is nested too deeply") from None
        config._source, config._root, config._env = place.file, root or Path.cwd(), env  # noqa: SLF001 -- its own
        return config
