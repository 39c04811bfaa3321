"""Former names and former versions of messages: every one that was ever written must lead to a class of today."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from protean.elements.element import ElementKind, info_of
from protean.elements.payload import PayloadElement
from protean.elements.upcaster import Chain, Step, checked_upcaster
from protean.suggestion import did_you_mean

Messages = Mapping[str, type[PayloadElement]]


def names_of(message: type[PayloadElement]) -> tuple[str, ...]:
    """What messages of that class are called in the log: its name, then its former names."""
    return (message.__name__, *message.__protean__.options.get("aliases", ()))


def with_aliases(messages: Messages, elements: Iterable[str], problems: list[str]) -> dict[str, type[PayloadElement]]:
    """The messages under all names that they ever had."""
    taken, found = set(elements), dict(messages)
    for cls in messages.values():
        for alias in names_of(cls)[1:]:
            if alias in taken or alias in found:
                owner = found[alias].__name__ if alias in found else alias
                problems.append(
                    f"{cls.__name__} was called {alias}, says `aliases`, and {owner} is that too; a name in the log "
                    "means one class"
                )
            found[alias] = cls
    return found


def chains_of(
    elements: Mapping[str, type], messages: Messages, problems: list[str]
) -> dict[type[PayloadElement], Chain]:
    """The upcasters of each message by the version they start from; one that leads nowhere is a problem."""
    chains: dict[type[PayloadElement], dict[int, Step]] = {cls: {} for cls in messages.values()}
    for cls in elements.values():
        if info_of(cls).kind is ElementKind.UPCASTER:
            _add(cls, elements, messages, chains, problems)
    for message, chain in chains.items():
        problems += [
            f"{message.__name__} has __version__ {message.__protean__.version} and no upcaster from version "
            f"{version}: nobody could read what was written then; declare one with @domain.upcaster"
            f"(event_type={message.__name__}, from_version={version}, to_version={version + 1})"
            for version in range(1, message.__protean__.version)
            if version not in chain
        ]
    return dict(chains)


def _add(
    cls: type,
    elements: Mapping[str, type],
    messages: Messages,
    chains: dict[type[PayloadElement], dict[int, Step]],
    problems: list[str],
) -> None:
    reference, step = info_of(cls).options["event_type"], checked_upcaster(cls, info_of(cls).options)
    name = reference if isinstance(reference, str) else getattr(reference, "__name__", repr(reference))
    message = messages.get(name)
    if message is None or not (isinstance(reference, str) or message is reference):
        found = elements.get(name)
        what = f"{name}, which this domain does not declare" if found is None else f"the {info_of(found).kind} {name}"
        problems.append(
            f"{info_of(cls)}: `event_type` names {what}{did_you_mean(name, messages)}; it needs an event or command"
        )
        return
    chain, version = chains[message], message.__protean__.version
    if step.to_version > version:
        problems.append(
            f"{cls.__name__} leads to version {step.to_version} of {message.__name__}, whose __version__ is {version}; "
            "raise that, or correct `to_version`"
        )
    elif step.from_version in chain:
        problems.append(
            f"{message.__name__} has two upcasters from version {step.from_version}, "
            f"{chain[step.from_version].upcaster.__name__} and {cls.__name__}; keep one"
        )
    else:
        chain[step.from_version] = step
