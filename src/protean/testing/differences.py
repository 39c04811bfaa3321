"""What was expected beside what there is, field by field, for whoever reads a red test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from protean.elements.payload import PayloadElement
from protean.exceptions import InvalidOperationError
from protean.suggestion import did_you_mean


@dataclass(frozen=True, slots=True)
class Like:
    """An event or command of which only some fields are expected."""

    cls: type[PayloadElement]
    fields: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"{self.cls.__name__}({', '.join([*(f'{name}={value!r}' for name, value in self.fields.items()), '…'])})"


def like(message: type[Any], **fields: Any) -> Like:
    """Expect an event, or a command, of that class with these fields, whatever the others hold.

    A class alone is expected with `like(OrderPlaced)`, or by naming it. Raises InvalidOperationError for a field that
    it does not have.
    """
    given: object = message
    if not (isinstance(given, type) and issubclass(given, PayloadElement)):
        raise InvalidOperationError(f"like() takes the class of an event or a command, not {message!r:.80}")
    check_fields(given, fields)
    return Like(given, fields)


def check_fields(cls: type[Any], names: Mapping[str, Any]) -> None:
    """Raise InvalidOperationError unless objects of the class have all of these."""
    known = [*cls.__protean__.fields, *cls.__protean__.associations]
    for name in names:
        if name not in known and not hasattr(cls, name):
            raise InvalidOperationError(f"{cls.__name__} has no field `{name}`{did_you_mean(name, known)}")


def expectation(given: object) -> Like:
    """What `then` was given, as what to compare with. Raises InvalidOperationError for anything else."""
    if isinstance(given, Like):
        return given
    if isinstance(given, type) and issubclass(given, PayloadElement):
        return Like(given, {})
    if isinstance(given, PayloadElement):
        return Like(type(given), {name: getattr(given, name) for name in given.__protean__.fields})
    raise InvalidOperationError(
        f"expected are events and commands, their classes, or like(…) of them, not {given!r:.80}"
    )


def difference(expected: Sequence[object], actual: Sequence[PayloadElement]) -> str:
    """What is different, a line each, numbered as they are told; empty if nothing is."""
    wanted = [expectation(each) for each in expected]
    lines = [*_compared(wanted, expected, actual)]
    return "\n".join(line for _, line in lines) if any(differs for differs, _ in lines) else ""


def listed(messages: Sequence[object], nothing: str = "nothing") -> str:
    """Messages, a line each, indented."""
    return "\n".join(f"  {message!r}" for message in messages) or f"  {nothing}"


def unequal(fields: Mapping[str, Any], of: object) -> list[str]:
    """A line for each field that is not as expected."""
    wrong = {name: value for name, value in fields.items() if getattr(of, name) != value}
    width = max(map(len, wrong), default=0)
    return [
        f"  {name:{width}}  expected {value!r}\n  {'':{width}}  but is   {getattr(of, name)!r}"
        for name, value in wrong.items()
    ]


def _compared(
    wanted: Sequence[Like], expected: Sequence[object], actual: Sequence[PayloadElement]
) -> Iterator[tuple[bool, str]]:
    """Whether there is a difference, and a line. Messages of the same type are laid beside each other."""
    matcher = SequenceMatcher(None, [each.cls for each in wanted], [type(each) for each in actual], autojunk=False)
    for what, first, last, at, until in matcher.get_opcodes():
        if what == "equal":
            for like_, message, number in zip(wanted[first:last], actual[at:until], range(at, until), strict=True):
                wrong = unequal(like_.fields, message)
                yield bool(wrong), f"  {number + 1}. {type(message).__name__}" + ("" if wrong else "  as expected")
                yield from ((True, "    " + line.replace("\n", "\n    ")) for line in wrong)
            continue
        yield from ((True, f"  missing: {each!r}") for each in _as_given(expected[first:last]))
        yield from ((True, f"  {at + n + 1}. not expected: {each!r}") for n, each in enumerate(actual[at:until]))


def _as_given(expected: Sequence[object]) -> Iterator[object]:
    """A class by its name only, the rest as it was written."""
    for each in expected:
        yield expectation(each) if isinstance(each, type) else each
