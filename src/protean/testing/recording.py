"""What a domain does, written down while it does it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from protean.domain import Domain
from protean.elements.event import EventElement
from protean.elements.facts import is_fact
from protean.elements.payload import PayloadElement, decode
from protean.elements.registry import Registry
from protean.message import NewMessage


@dataclass(slots=True)
class Record:
    """Messages committed by what was done itself (`own`), and by the handlers that it set going (`followed`)."""

    own: list[NewMessage] = field(default_factory=list)
    followed: list[NewMessage] = field(default_factory=list)


@contextmanager
def committing(domain: Domain, record: Record, *, following: bool = False) -> Iterator[None]:
    """Inside the block, note what is committed. `following`: all of it is done by handlers."""
    committed, depth = domain.committed, [int(following)]

    def heard(provider: str, messages: list[NewMessage]) -> None:
        (record.followed if depth[0] else record.own).extend(messages)
        depth[0] += 1  # handlers that run at commit run in here
        try:
            committed(provider, messages)
        finally:
            depth[0] -= 1

    with instead(domain, committed=heard):
        yield


@contextmanager
def instead(domain: Domain, **methods: Callable[..., Any]) -> Iterator[None]:
    """Inside the block, have these called in place of the domain's own, by whoever calls them."""
    before = {name: vars(domain)[name] for name in methods if name in vars(domain)}
    vars(domain).update(methods)
    try:
        yield
    finally:
        for name in methods:
            del vars(domain)[name]
        vars(domain).update(before)


def events(registry: Registry, messages: list[NewMessage]) -> list[PayloadElement]:
    """The events among the messages that somebody has raised: nobody has facts of a state, nor timeouts."""
    timeouts = {process.__protean__.stream_category for process in registry.processes}
    read = [_payload(registry, message) for message in messages if message.category not in timeouts]
    return [each for each in read if isinstance(each, EventElement) and not is_fact(type(each))]


def _payload(registry: Registry, message: NewMessage) -> PayloadElement:
    return decode(registry.message_type(message.type), json.loads(message.data))
