"""Values no database or message should hold are refused before the commit, under the name of their field."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.handle.conftest import bank
from tests.support.bank import Bank

from protean import Domain, current_domain, handle, on
from protean.exceptions import InvalidOperationError, ValidationError
from protean.fields import Decimal, Dict, Float, Identifier, Integer, List, String, Text
from protean.ports.rows import Key

__all__ = ["bank"]


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"deeper": value}
    return value


NAN, INFINITE = float("nan"), float("inf")
BAD = {
    "text": ["a\0", "\ud800", "\udfff x", 5, b"\xff", b"a\0"],
    "name": ["a\0", "\ud800", "x" * 300],
    "whole": [2**63, -(2**63) - 1, 10**5000, NAN, INFINITE, 1.5, "many"],
    "real": [NAN, INFINITE, -INFINITE, "nan", 10**400],
    "exact": [NAN, INFINITE, "NaN", "1E+100000"],
    "tags": [["\0"], ["\ud800"], [NAN], [2**64], [{"a": {"b": INFINITE}}], [{1: 2}], [object()], nested(500), "text"],
    "extra": [{"\0": 1}, {"a": "\ud800"}, {"\udfff": 1}, {"a": NAN}, {"a": [10**400]}, {"a": nested(33)}, [], {1: 2}],
}
#: What is refused inside a list or dict also when it gets there after the object was made.
BAD_INSIDE = ["\0", "\ud800", NAN, INFINITE, 2**64, [[NAN]], {"a": "\0"}, {"\ud800": 1}, object(), nested(500), {5: 5}]


@dataclass
class Shop:
    domain: Domain
    Keep: Any
    Kept: Any
    thing: Any
    shown: Any

    def saved(self) -> int:
        messages = 0
        transaction = self.domain.database().transaction()
        try:
            messages = len(transaction.log.read("thing-t", -1, 10))
        finally:
            transaction.rollback()
        return messages + len(list(self.domain.repository_for(self.thing).query))


@pytest.fixture
def shop(bank: Bank) -> Iterator[Shop]:
    database = bank.domain.config.databases["default"]
    config = {"databases": {"default": {"provider": database.provider, "database_uri": str(database.database_uri)}}}
    domain = Domain("shop", config=config)

    class Fields:
        text: Text()
        name: String()
        whole: Integer()
        real: Float()
        exact: Decimal()
        tags: List()
        extra: Dict()

    @domain.aggregate
    class Thing(Fields):
        id: Identifier(identifier=True, max_length=5000)

    @domain.event(part_of=Thing)
    class Kept(Fields):
        thing: Identifier(max_length=5000)

    @domain.command(part_of=Thing)
    class Keep(Fields):
        thing: Identifier(max_length=5000)

    @domain.projection
    class Shown(Fields):
        thing: Identifier(identifier=True, max_length=5000)

    @domain.command_handler(part_of=Thing)
    class Keeper:
        @handle(Keep)
        def keep(self, command: Any) -> None:
            values = {name: getattr(command, name) for name in BAD}
            thing = Thing(id=command.thing, **values)
            thing.raise_(Kept(thing=command.thing, **values))
            current_domain.repository_for(Thing).add(thing)

    @domain.projector(projector_for=Shown, aggregates=[Thing])
    class ShownProjector:
        @on(Kept)
        def kept(self, event: Any) -> None:
            current_domain.repository_for(Shown).add(Shown(thing=event.thing, **{n: getattr(event, n) for n in BAD}))

    domain.init()
    with domain.domain_context():
        yield Shop(domain, Keep, Kept, Thing, Shown)
    domain.close()


@pytest.mark.parametrize("field", BAD)
def test_a_bad_value_is_refused_by_everything_that_has_fields(shop: Shop, field: str) -> None:
    for value in BAD[field]:
        for cls, key in ((shop.Keep, "thing"), (shop.Kept, "thing"), (shop.thing, "id"), (shop.shown, "thing")):
            with pytest.raises(ValidationError) as caught:
                cls(**{key: "t", field: value})
            assert list(caught.value.messages) == [field], type(value)
        thing = shop.thing(id="t")
        with pytest.raises(ValidationError) as caught:
            setattr(thing, field, value)
        assert list(caught.value.messages) == [field], type(value)


@pytest.mark.parametrize("number", range(len(BAD_INSIDE)))
@pytest.mark.parametrize("field", ["tags", "extra"])
def test_what_is_put_into_a_list_or_dict_afterwards_is_refused_before_anything_is_saved(
    shop: Shop, field: str, number: int
) -> None:
    def spoil(target: Any) -> Any:
        inside = getattr(target, field)
        inside.append(BAD_INSIDE[number]) if field == "tags" else inside.update(later=BAD_INSIDE[number])
        return target

    fine = {"tags": ["a"], "extra": {"a": 1}}
    things = shop.domain.repository_for(shop.thing)
    with pytest.raises(ValidationError) as caught:
        things.add(spoil(shop.thing(id="t", **fine)))
    assert list(caught.value.messages) == [field]

    for told in (shop.Kept(thing="t", **fine), shop.Keep(thing="t", **fine)):
        with pytest.raises(InvalidOperationError, match="part of something that never changes"):
            spoil(told)
        assert getattr(told, field) == fine[field]

    with pytest.raises(ValidationError) as caught:
        shop.domain.repository_for(shop.shown).add(spoil(shop.shown(thing="t", **fine)))
    assert list(caught.value.messages) == [field]
    assert shop.saved() == 0


def test_50_megabytes_are_no_message(shop: Shop) -> None:
    with pytest.raises(ValidationError) as caught:
        shop.domain.process(shop.Keep(thing="t", name="short", text="x" * 50_000_000))
    assert caught.value.messages == {"text": ["makes most of Kept, which has 50000101 characters, more than 1048576"]}
    assert shop.saved() == 0


@pytest.mark.parametrize("key", ["x" * 2_001, "\N{GRINNING FACE}" * 500], ids=["long", "wide"])
def test_an_identity_too_long_for_the_name_of_a_history_is_refused(shop: Shop, key: Key) -> None:
    with pytest.raises(ValidationError) as caught:
        shop.domain.process(shop.Keep(thing=key))
    assert list(caught.value.messages) == ["id"]
    assert "2000 bytes at most" in str(caught.value)
    assert shop.saved() == 0


def test_the_longest_identity_that_is_taken_works_all_the_way(shop: Shop) -> None:
    chance = random.Random(5)
    key = "".join(
        chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range((2_000 - len("thing-")) // 3)
    )  # hard to compress
    shop.domain.process(shop.Keep(thing=key, whole=1))
    assert shop.domain.repository_for(shop.shown).get(key).whole == 1


def test_the_largest_numbers_and_oddest_texts_that_are_taken_come_back_as_they_were(shop: Shop) -> None:
    values: dict[str, Any] = {
        "text": "\x01\x7f\u2028 \N{GRINNING FACE} ' \" \\ %s \\u0000",
        "name": "\u0130\u0131\ufffd",
        "whole": 2**53 + 1,
        "real": 1.7976931348623157e308,
        "exact": "0.1",
        "tags": [2**63 - 1, -(2**63), 2**53 + 1, 5e-324, "\\u0000", nested(30)],
        "extra": {"": 2**53 + 1, "\\ud800": [], "a": -0.0},
    }
    keep = shop.Keep(thing="t", **values)
    shop.domain.process(keep)
    for found in (shop.domain.repository_for(shop.thing).get("t"), shop.domain.repository_for(shop.shown).get("t")):
        assert {name: getattr(found, name) for name in BAD} == {name: getattr(keep, name) for name in BAD}
