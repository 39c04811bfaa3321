"""Which failures a command line means, and how they are shown."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from typing import Any

from protean.cli.output import Table
from protean.domain import Domain
from protean.exceptions import ConfigurationError
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.server.dead_letters import DeadLetters
from protean.server.letters import DeadLetter, Group, Inspected, shape_of
from protean.suggestion import did_you_mean
from protean.wording import counted

#: What stands in the place of a message's data unless it was asked for.
HIDDEN = "hidden; --payload shows it"
#: Failures looked at for an id that was cut short, as log lines cut it: enough to say which ones it may mean.
ALIKE = 1_000
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


class Shown(StrEnum):
    """The choice of `--state`."""

    WAITING = "waiting"
    DEAD = "dead"
    ARCHIVED = "archived"
    ALL = "all"

    @property
    def state(self) -> FailureState | None:
        return None if self is Shown.ALL else FailureState(self.value)


def filter_of(domain: Domain, *, state: FailureState | None, handler: str | None, stream: str | None) -> FailureFilter:
    """The filter of a command's options. Raises ConfigurationError for a handler nobody knows."""
    if handler is not None:
        _require_handler(domain, handler)
    return FailureFilter(handlers=None if handler is None else (handler,), state=state, stream=stream)


def resolved(domain: Domain, message_id: str, handler: str | None) -> list[DeadLetter]:
    """The failures of one message, given by its id or by how its id begins; several if several handlers failed.

    Raises ConfigurationError when there is none, or when several messages' ids begin like that.
    """
    letters, handlers = DeadLetters(domain), None if handler is None else (handler,)
    exactly = list(letters.find(FailureFilter(handlers=handlers, message_id=message_id)))
    if exactly:
        return exactly
    beginning = FailureFilter(handlers=handlers, message_prefix=message_id)
    alike = list(islice(letters.find(beginning), ALIKE)) if message_id else []
    if not alike:
        of_whom = f" of {handler}" if handler else ""
        raise ConfigurationError(
            f"no failure{of_whom} has the id {message_id!r}; `protean dlq list --state all` shows all"
        )
    ids = sorted({letter.failure.message_id for letter in alike})
    if len(ids) > 1:
        raise ConfigurationError(
            f"{len(ids)} messages have an id that begins with {message_id!r}: {', '.join(ids[:5])}"
        )
    return alike


@dataclass(frozen=True, slots=True)
class Choice:
    """The options that say which dead letters are meant; `verb` is what is to be done to them."""

    verb: str
    ids: Sequence[str] = ()
    handler: str | None = None
    stream: str | None = None
    group: str | None = None


def chosen(domain: Domain, choice: Choice) -> list[DeadLetter]:
    """The dead letters meant. Raises ConfigurationError when the options do not say clearly which."""
    ids, handler, stream, group = choice.ids, choice.handler, choice.stream, choice.group
    if not ids and handler is None and stream is None and group is None:
        raise ConfigurationError(
            f"say what to {choice.verb}: ids, --handler, --stream or --group; `protean dlq list` shows them"
        )
    if ids and (stream is not None or group is not None):
        option = "--stream" if stream is not None else "--group"
        raise ConfigurationError(f"ids and {option} together say two things; leave one of them out")
    if handler is not None:
        _require_handler(domain, handler)
    if ids:
        found = [_one(domain, message_id, handler) for message_id in dict.fromkeys(ids)]
        return list({(each.failure.handler, each.failure.message_id): each for each in found}.values())
    which = filter_of(domain, state=FailureState.DEAD, handler=handler, stream=stream)
    letters = DeadLetters(domain)
    members = letters.find(which) if group is None else letters.members(_group(letters, which, group))
    return [_light(letter) for letter in members]


def all_dead(domain: Domain) -> list[DeadLetter]:
    """Every dead letter there is."""
    return [_light(letter) for letter in DeadLetters(domain).find(FailureFilter(state=FailureState.DEAD))]


def require_handlers(domain: Domain, letters: Sequence[DeadLetter]) -> None:
    """Raise ConfigurationError when nobody would handle what is replayed."""
    known = {spec.name for spec in domain.registry.consumers}
    orphans = sorted({each.failure.handler for each in letters} - known)
    if orphans:
        raise ConfigurationError(
            f"{', '.join(orphans)} is not a handler of {domain.name} any more, so nobody would handle what is replayed"
        )


def duration(text: str) -> timedelta:
    """`90s`, `45min`, `12h`, `30d`, `2w`. Raises ConfigurationError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h|d|w)", text.strip())
    if found is None:
        raise ConfigurationError(f"{text!r} is not a duration such as 90s, 45min, 12h, 30d or 2w")
    try:
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
    except OverflowError:
        raise ConfigurationError(f"{text!r} is longer than time itself is counted here") from None


def as_plain(failure: Failure) -> dict[str, object]:
    """A failure for `--json`, without the bytes of its message."""
    shown = replace(failure, raw=None)
    return {field.name: getattr(shown, field.name) for field in fields(shown) if field.name != "raw"}


def group_as_plain(group: Group) -> dict[str, object]:
    return {("error" if field.name == "shape" else field.name): getattr(group, field.name) for field in fields(group)}


def table_of(letters: Sequence[DeadLetter]) -> Table:
    """The failures, those of one cause together."""
    columns = ("HANDLER", "STREAM", "TYPE", "STATE", "ERROR", "ATTEMPTS", "FAILED AT", "ID")
    rows = [_row(each.failure) for alike in _alike(letters).values() for each in alike]
    emphasis = {"dead": "red", "waiting": "yellow"}
    return Table(columns, rows, numeric=frozenset({"ATTEMPTS"}), emphasis=emphasis)


def table_of_groups(groups: Sequence[Group]) -> Table:
    columns = ("COUNT", "GROUP", "HANDLER", "STREAM", "ERROR", "FIRST", "LAST")
    rows = [
        (
            f"{group.count:,}",
            group.id,
            group.handler,
            group.stream,
            f"{group.error_type}: {shortened(group.shape)}",
            f"{group.first_failed_at:%Y-%m-%d %H:%M:%S}",
            f"{group.last_failed_at:%Y-%m-%d %H:%M:%S}",
        )
        for group in groups
    ]
    return Table(columns, rows, numeric=frozenset({"COUNT"}))


def table_of_causes(letters: Sequence[DeadLetter]) -> Table:
    """What is about to be done, before anybody is asked."""
    rows = [
        (f"{len(members):,}", handler, stream, f"{error_type}: {shortened(members[0].failure.error)}")
        for (handler, stream, error_type, _), members in _alike(letters).items()
    ]
    return Table(("COUNT", "HANDLER", "STREAM", "ERROR"), rows, numeric=frozenset({"COUNT"}))


def inspected_as_plain(inspected: Inspected) -> dict[str, Any]:
    """An inspected failure for `--json`."""
    envelope = None if inspected.envelope is None else {"data": HIDDEN, **inspected.envelope}
    raw = None
    if inspected.raw is not None:
        raw = base64.b64encode(inspected.raw).decode()
    elif inspected.raw_size is not None:
        raw = f"{inspected.raw_size:,} bytes, {HIDDEN}"
    return {
        **as_plain(inspected.letter.failure),
        "database": inspected.letter.provider,
        "blocked": inspected.blocked,
        "envelope": envelope,
        "raw": raw,
        "history": [
            {"position": each.position, "message_id": each.id, "type": each.type, "time": each.time}
            for each in inspected.history
        ],
    }


def described(report: dict[str, Any]) -> Iterator[str]:
    """An inspected failure, for people. What is others' text is made harmless when it is printed."""
    yield f"{report['message_type'] or 'an unreadable entry'} {report['message_id']}"
    yield f"Handler    {report['handler']}"
    yield f"State      {report['state'].value}, {counted(report['attempts'], 'attempt')}"
    if report["discarded_by"] is not None:
        yield f"Discarded  by {report['discarded_by']}: {report['discard_reason']}"
    if report["state"] is FailureState.WAITING:
        yield f"Due        {report['due_at']:%Y-%m-%d %H:%M:%S}"
    yield f"Stream     {report['stream']} ({report['lane']}), entry {report['original_id'] or '-'}"
    yield f"History    {report['stream_name'] or '-'}"
    yield f"Failed     first {report['first_failed_at']:%Y-%m-%d %H:%M:%S}, last {report['last_failed_at']:%H:%M:%S}"
    yield f"Blocked    {counted(report['blocked'], 'later message')} of {report['stream_name'] or '-'}"
    yield f"Error      {report['error_type']}: {report['error']}"
    yield ""
    yield report["traceback"].rstrip()
    yield ""
    for each in report["history"]:
        here = "  <- failed here" if each["message_id"] == report["message_id"] else ""
        yield f"{each['position']:>8}  {each['time']:%Y-%m-%d %H:%M:%S}  {each['type']}  {each['message_id']}{here}"
    if report["envelope"] is not None:
        yield json.dumps(report["envelope"], indent=2)
    elif report["raw"] is not None:
        yield f"Bytes as they came (base64): {report['raw']}"
    else:
        yield "The message is no longer in the log."
    if report["state"] is FailureState.DEAD:
        yield ""
        yield f"Next: mend the handler, restart the engine, then: protean dlq replay {report['message_id']}"


def shortened(text: str) -> str:
    """The first line of an error, as far as a table has room."""
    first = text.strip().partition("\n")[0]
    return first if len(first) <= 80 else f"{first[:79]}…"


def _require_handler(domain: Domain, handler: str) -> None:
    """Raise ConfigurationError unless the domain has a handler of that name, or failures of a former one."""
    known = [spec.name for spec in domain.registry.consumers]
    if handler in known or DeadLetters(domain).count(FailureFilter(handlers=(handler,))):
        return
    suggestion = did_you_mean(handler, known)
    raise ConfigurationError(f"no handler of {domain.name} is called {handler!r}{suggestion}")


def _one(domain: Domain, message_id: str, handler: str | None) -> DeadLetter:
    """The one dead letter of that id."""
    found = resolved(domain, message_id, handler)
    if len(found) > 1:
        names = ", ".join(sorted(each.failure.handler for each in found))
        raise ConfigurationError(f"several handlers failed at {message_id}: {names}; name one of them with --handler")
    failure = found[0].failure
    if failure.state is not FailureState.DEAD:
        due = f", due {failure.due_at:%H:%M:%S}" if failure.state is FailureState.WAITING else ""
        raise ConfigurationError(
            f"{failure.message_id} is {failure.state.value}{due}: only dead letters are replayed or discarded"
        )
    return found[0]


def _group(letters: DeadLetters, which: FailureFilter, group_id: str) -> Group:
    """The group of that id. Raises ConfigurationError when there is none."""
    for group in letters.groups(which):
        if group.id == group_id:
            return group
    raise ConfigurationError(
        f"no group of dead letters has the id {group_id!r}; `protean dlq list --group-by error` shows them"
    )


def _light(letter: DeadLetter) -> DeadLetter:
    """Without the traceback, which of a hundred thousand would fill the memory."""
    return replace(letter, failure=replace(letter.failure, traceback=""))


def _alike(letters: Sequence[DeadLetter]) -> dict[tuple[str, str, str, str], list[DeadLetter]]:
    """The failures by handler, stream, type of error and its shape, the largest group first."""
    groups: dict[tuple[str, str, str, str], list[DeadLetter]] = {}
    for each in letters:
        failure = each.failure
        shared = (failure.handler, failure.stream, failure.error_type, shape_of(failure.error))
        groups.setdefault(shared, []).append(each)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def _row(failure: Failure) -> tuple[str, ...]:
    return (
        failure.handler,
        failure.stream,
        failure.message_type or "-",
        _state(failure),
        f"{failure.error_type}: {shortened(failure.error)}",
        str(failure.attempts),
        f"{failure.last_failed_at:%Y-%m-%d %H:%M:%S}",
        failure.message_id,
    )


def _state(failure: Failure) -> str:
    """`discarding`: a person has decided, and the engine has yet to go past it."""
    undone = failure.state is FailureState.WAITING and failure.discarded_by is not None
    return "discarding" if undone else failure.state.value
