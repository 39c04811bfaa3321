"""What was written in earlier years is read by the code of today, and the helper that shows it."""

from __future__ import annotations

import importlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.years import build_orders

from protean import Domain, codec
from protean.exceptions import InvalidOperationError
from protean.fields import Identifier, Integer, List, String
from protean.message import MessageKind
from protean.testing import assert_golden, write_golden
from protean.write.reading import payload_of

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "my_app"


@pytest.mark.proves("protean.testing.assert_golden")
def test_every_version_of_the_orders_events_is_read_as_it_should_be() -> None:
    assert_golden(build_orders({}).domain, HERE / "orders")


def test_the_examples_events_are_what_their_versions_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    identity = importlib.import_module("my_app.identity.domain").identity
    identity.init()

    assert_golden(identity, HERE / "customers")


def test_an_entry_as_it_lay_on_a_stream_years_ago_is_read() -> None:
    (file,) = (HERE / "envelopes").glob("*.json")

    message = codec.decode(file.read_bytes())

    assert (message.type, message.version, message.kind) == ("OrderPlaced", 1, MessageKind.EVENT)
    assert (message.stream_name, message.category, message.position) == ("order-2019-0007", "order", 0)
    assert (message.priority, message.global_position) == (-50, 4711)
    assert message.time == datetime(2019, 5, 4, 10, 31, 7, 123456, tzinfo=UTC)
    assert (message.correlation_id, message.causation_id) == ("request-7", "f2f7c7c8-6f51-4f0c-8d36-3f1c4f3a9a02")
    assert message.headers == {"tenant_id": "acme"}
    read: Any = payload_of(build_orders({}).domain.registry, message)
    assert (read.order_id, read.total, read.currency) == ("2019-0007", 12, "EUR")
    assert json.loads(codec.encode(message)) == json.loads(file.read_bytes())


def told(**fields: Any) -> tuple[Domain, Any]:
    """A domain with one event."""
    domain = Domain("told", config={})
    domain.aggregate(type("Story", (), {"__module__": __name__}))
    event = domain.event(part_of="Story")(type("Told", (), {"__module__": __name__, **fields}))
    domain.init()
    return domain, event


def complaint(domain: Domain, folder: Path) -> str:
    with pytest.raises(AssertionError) as caught:
        assert_golden(domain, folder)
    return str(caught.value)


def test_what_was_written_is_found_in_order(tmp_path: Path) -> None:
    domain, event = told(name=String(max_length=5), tags=List(str, default=list))

    (file,) = write_golden(tmp_path / "new", event(name="Åda", tags=["a"]))

    assert file.name == "Told.v1.json"
    assert "Åda" in file.read_text(encoding="utf-8")
    assert_golden(domain, tmp_path)


@pytest.mark.parametrize(
    ("fields", "change"),
    [
        ({"name": String(max_length=50), "extra": Integer()}, "`extra` is new"),
        ({}, "`name` is gone"),
        ({"name": String(max_length=40)}, "`name` was string, max_length 50, is string, max_length 40"),
        ({"name": String(max_length=50, required=True)}, "is string, required, min_length 1, max_length 50"),
        ({"name": Integer()}, "is integer"),
        ({"name": String(max_length=50, choices=["a", "b"])}, "is string, one of a|b, max_length 50"),
    ],
)
def test_fields_that_change_behind_their_versions_back_are_found(
    tmp_path: Path, fields: dict[str, Any], change: str
) -> None:
    _, event = told(name=String(max_length=50))
    write_golden(tmp_path, event())

    text = complaint(told(**fields)[0], tmp_path)

    assert "Told is still version 1 and has changed" in text
    assert change in text
    assert "raise its __version__, declare an upcaster from 1 to 2" in text


def test_a_new_event_asks_for_its_file(tmp_path: Path) -> None:
    assert "Told version 1 has no file; write one with write_golden(folder, Told(…))" in complaint(told()[0], tmp_path)


def test_a_version_that_nobody_kept_is_asked_for(tmp_path: Path) -> None:
    shutil.copytree(HERE / "orders", tmp_path / "orders")
    (tmp_path / "orders" / "OrderPlaced.v2.json").unlink()

    text = complaint(build_orders({}).domain, tmp_path)

    assert "OrderPlaced version 2 has no file, so that nothing shows it can be read" in text
    assert text.count("\n- ") == 1


def test_an_upcaster_that_changed_its_mind_is_found(tmp_path: Path) -> None:
    orders = build_orders({})
    orders.upcast = lambda data: {**data, "currency": "USD"}

    text = complaint(orders.domain, HERE / "orders")

    assert 'OrderPlaced.v1.json is read as {"order_id": "2019-0007", "total": 12, "currency": "USD"}' in text


def test_a_message_of_a_type_that_is_gone_is_found() -> None:
    text = complaint(build_orders({}, version=1).domain, HERE / "orders")

    assert "OrderShipped.v1.json cannot be read: UnknownTypeError" in text
    assert "OrderPlaced.v3.json cannot be read: UnknownTypeError: OrderPlaced has version 3" in text


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    domain, event = told(name=Identifier())
    write_golden(tmp_path, event(name="a"))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.json").write_text("{}")

    text = complaint(domain, tmp_path)

    assert "broken.json cannot be read: JSONDecodeError" in text
    assert "empty.json cannot be read: TypeError: it is not an object with type, version, fields and data" in text


@pytest.mark.proves("protean.testing.write_golden")
def test_what_a_version_looked_like_is_written_once(tmp_path: Path) -> None:
    _, event = told()
    write_golden(tmp_path, event())

    with pytest.raises(InvalidOperationError, match=r"Told\.v1\.json is there already.*raise __version__"):
        write_golden(tmp_path, event())
    with pytest.raises(InvalidOperationError, match="made of events and commands, not of 5"):
        write_golden(tmp_path, 5)
