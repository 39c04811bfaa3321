"""Golden messages: what each version of an event looked like when it was new, kept as files and read by today's code.

A file is JSON: `type` and `version` as the log has them, `fields` as they were declared then, `data` as it was written,
and, if somebody wants it compared, `reads` as what today's code makes of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from protean.domain import Domain
from protean.elements.event import EventElement
from protean.elements.payload import PayloadElement, encode
from protean.elements.registry import Registry
from protean.elements.resolving.evolving import names_of
from protean.exceptions import InvalidOperationError, ProteanError
from protean.fields import FieldSpec
from protean.message import Message, MessageKind
from protean.write.reading import payload_of

_ADVICE = (
    "raise its __version__, declare an upcaster from {version} to {next}, and write the golden file of the new "
    "version; only where old and new code can read each other's messages, write the file of version {version} again"
)


def assert_golden(domain: Domain, folder: str | Path) -> None:
    """Check that today's code reads everything in `folder`, and that no event has changed behind its version's back.

    Every version of every event of the domain needs a file, of commands those that are there are checked. Raises
    AssertionError listing every problem with its remedy.
    """
    registry, files = domain.registry, sorted(Path(folder).rglob("*.json"))
    problems: list[str] = []
    seen: set[tuple[type[PayloadElement], int]] = set()
    for file in files:
        try:
            golden = _read(file)
            cls = registry.message_type(golden["type"])
            seen.add((cls, golden["version"]))
            problems += _problems(registry, cls, golden, file.name)
        except (ProteanError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{file.name} cannot be read: {type(error).__name__}: {error}")
    for event in registry.elements.values():
        if issubclass(event, EventElement):
            versions = range(1, event.__protean__.version + 1)
            problems += [_missing(event, version) for version in versions if (event, version) not in seen]
    if problems:
        raise AssertionError(f"{folder} and the events of today do not agree:\n- " + "\n- ".join(problems))


def write_golden(folder: str | Path, *payloads: object) -> list[Path]:
    """Write each of these events, or commands, as the golden message of its version, once; the files.

    Raises InvalidOperationError when there is one already: what was written then does not change.
    """
    written = []
    for payload in payloads:
        if not isinstance(payload, PayloadElement):
            raise InvalidOperationError(f"golden files are made of events and commands, not of {payload!r:.80}")
        info = payload.__protean__
        path = Path(folder) / f"{info.name}.v{info.version}.json"
        if path.exists():
            raise InvalidOperationError(
                f"{path.name} is there already, and what a version looked like does not change; raise __version__ of "
                f"{info.name}, or delete the file to say that no such message was ever written"
            )
        golden = {
            "type": info.name,
            "version": info.version,
            "fields": _described(info.fields),
            "data": json.loads(encode(payload)),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(golden, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _read(file: Path) -> dict[str, Any]:
    golden = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(golden, dict) or not isinstance(golden.get("data"), dict):
        raise TypeError("it is not an object with type, version, fields and data")
    if not isinstance(golden["type"], str) or type(golden["version"]) is not int:
        raise TypeError("`type` must be a text and `version` a whole number")
    return golden


def _problems(registry: Registry, cls: type[PayloadElement], golden: Mapping[str, Any], file: str) -> list[str]:
    """What is wrong with one file. Raises what reading it raises."""
    info, version = cls.__protean__, golden["version"]
    described = _described(info.fields)
    if (golden["type"], version) == (info.name, info.version) and golden["fields"] != described:
        advice = _ADVICE.format(version=version, next=version + 1)
        changes = "; ".join(_changes(golden["fields"], described))
        return [f"{info.name} is still version {version} and has changed ({changes}): {advice}"]
    read = json.loads(encode(payload_of(registry, _message(golden))))
    if golden.get("reads", read) != read:
        return [f"{file} is read as {json.dumps(read)}, and should be as {json.dumps(golden['reads'])}"]
    return []


def _changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    gone = [f"`{name}` is gone" for name in then if name not in now]
    new = [f"`{name}` is new" for name in now if name not in then]
    return gone + new + [f"`{n}` was {then[n]}, is {now[n]}" for n in then if n in now and then[n] != now[n]]


def _missing(event: type[PayloadElement], version: int) -> str:
    name = event.__name__
    if version == event.__protean__.version:
        return f"{name} version {version} has no file; write one with write_golden(folder, {name}(…)) and check it in"
    names = " or ".join(names_of(event))
    return (
        f"{name} version {version} has no file, so that nothing shows it can be read; take the data of one from the "
        f"log (type {names}, version {version}) and make a file of it like its neighbours"
    )


def _described(fields: Mapping[str, FieldSpec]) -> dict[str, str]:
    return {name: _words(spec) for name, spec in fields.items()}


def _words(spec: FieldSpec) -> str:
    """Everything that decides whether a value can be read, as one line. What is only for people is left out."""
    words = [spec.kind.value + (f" of {_words(spec.content)}" if spec.content else "")]
    if spec.required:
        words.append("required")
    options = [str(member.value) for member in spec.enum] if spec.enum else [str(choice) for choice in spec.choices]
    if options:
        words.append("one of " + "|".join(options))
    rules = {name: getattr(spec, name) for name in ("min_length", "max_length", "min_value", "max_value")}
    words += [f"{name} {limit}" for name, limit in rules.items() if limit is not None]
    return ", ".join(words)


def _message(golden: Mapping[str, Any]) -> Message:
    """The message as it would come from the log, whose places do not matter here."""
    return Message(
        id="00000000-0000-0000-0000-000000000000",
        type=golden["type"],
        version=golden["version"],
        kind=MessageKind.EVENT,
        stream_name="golden",
        category="golden",
        position=0,
        global_position=0,
        priority=0,
        time=datetime(2000, 1, 1, tzinfo=UTC),
        data=golden["data"],
    )
