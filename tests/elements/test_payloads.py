"""Commands and events: unchanging, and JSON on the way."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protean.elements.command import Command
from protean.elements.declarations import Declarations
from protean.elements.event import Event
from protean.elements.payload import decode, encode
from protean.elements.registry import Registry
from protean.exceptions import ConfigurationError, DeserializationError, InvalidOperationError, ValidationError
from protean.fields import Date, DateTime, Decimal, Dict, Float, Identifier, Integer, String

shop = Declarations(Registry())


class Channel(enum.Enum):
    WEB = "web"
    PHONE = "phone"


@shop.event(part_of="Customer")
class Registered(Event):
    __version__ = 2
    customer_id: str = Identifier(required=True)
    name: str | None = String(default=None)
    visits: int | None = Integer(default=None)
    spend: float | None = Float(default=None)
    paid: decimal.Decimal | None = Decimal(default=None)
    born: dt.date | None = Date(default=None)
    at: dt.datetime | None = DateTime(default=None)
    channel: Channel = Channel.WEB
    tags: list[str] = []
    attributes: dict[str, Any] | None = Dict(default=None)


@shop.command(part_of="Customer")
class Register(Command):
    name: str


AnyRegistered: Any = Registered
AnyRegister: Any = Register
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
whole_numbers = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | whole_numbers | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
registered = st.builds(
    AnyRegistered,
    customer_id=texts.filter(bool),
    name=st.none() | texts,
    visits=st.none() | whole_numbers,
    spend=st.none() | numbers,
    paid=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    born=st.none() | st.dates(),
    at=st.none()
    | st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-5))])).filter(
        lambda moment: 1 < moment.year < 9999
    ),
    channel=st.sampled_from(Channel),
    tags=st.lists(texts, max_size=3),
    attributes=st.none() | st.dictionaries(texts, json_values, max_size=3),
)


@given(registered)
def test_what_is_encoded_decodes_to_the_same(event: Any) -> None:
    assert decode(type(event), json.loads(encode(event))) == event


def test_commands_and_events_never_change() -> None:
    register: Any = Register(name="Ada")
    with pytest.raises(InvalidOperationError, match=r"Register\.name cannot be set to 'x': a command never changes"):
        register.name = "x"
    with pytest.raises(InvalidOperationError, match=r"Register\.name cannot be deleted"):
        del register.name
    assert register.name == "Ada"
    assert register == Register(name="Ada")
    assert hash(register) == hash(Register(name="Ada"))


def test_construction_is_by_keyword_and_complete() -> None:
    with pytest.raises(TypeError):
        AnyRegister("Ada")
    with pytest.raises(ValidationError) as caught:
        AnyRegister(nmae="Ada")
    assert caught.value.messages == {
        "name": ["is required"],
        "nmae": ["is not a field of Register; did you mean `name`?"],
    }


@pytest.mark.proves("protean.exceptions.DeserializationError")
def test_undecodable_data_is_refused_naming_every_field() -> None:
    cls: Any = Registered
    with pytest.raises(DeserializationError) as caught:
        decode(cls, {"visits": "many", "nam": "x"})
    text = str(caught.value)
    assert text.startswith("Registered version 2 cannot be read: ")
    assert "`customer_id` is required" in text
    assert "`visits` must be a valid integer" in text
    assert "`nam` is not a field of Registered; did you mean `name`?" in text


@pytest.mark.parametrize("version", [0, "2", True])
def test_versions_count_from_one(domain: Declarations, version: object) -> None:
    with pytest.raises(ConfigurationError, match="__version__ of Told"):
        domain.event(part_of="Customer")(type("Told", (), {"__version__": version, "__module__": __name__}))
