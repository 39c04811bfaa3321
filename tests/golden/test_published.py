"""The envelope of published events, which others rely on: what it looked like when it was new."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from protean import codec
from protean.cloudevents import cloud_event, correlation, identity
from protean.message import MessageKind

GOLDEN = Path(__file__).parent / "published" / "order-placed.json"
PAGE = Path(__file__).parents[2] / "docs" / "published-events.md"
DATA = '{"order_id": "42", "total": "19.90", "note": "née"}'


def envelope(**changes: object) -> dict[str, object]:
    described: dict[str, Any] = {
        "message_id": "7a6f2f3e-8a51-4f0f-9e0a-3f1f6b0a7c11",
        "message_type": "OrderPlaced",
        "version": 2,
        "kind": MessageKind.EVENT,
        "stream_name": "order-42",
        "category": "order",
        "priority": -50,
        "time": datetime(2030, 1, 31, 12, tzinfo=UTC),
        "correlation_id": "0d1b9c9e-6a39-4b11-8a7c-0e3ce7a4a001",
        "causation_id": "c0ffee00-0000-4000-8000-000000000001",
        "headers": {"tenant": "acme", "user": "somebody's name"},
        **changes,
    }
    metadata = codec.metadata_json(**described)
    written: dict[str, object] = json.loads(cloud_event("Corner Shop", DATA, metadata, 7))
    return written


def test_the_envelope_is_the_golden_one_attribute_by_attribute() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert list(envelope().items()) == list(golden.items())


def test_the_page_shows_the_golden_envelope() -> None:
    shown = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert json.loads(GOLDEN.read_text(encoding="utf-8")) in [json.loads(each) for each in shown]


def test_attributes_keep_to_the_specification() -> None:
    """https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md: names, types, what is required."""
    written = envelope()
    assert {"specversion", "id", "source", "type"} <= written.keys()
    assert [name for name in written if not re.fullmatch(r"[a-z0-9]{1,20}", name)] == []
    assert [name for name, value in written.items() if name != "data" and not isinstance(value, str | int)] == []
    assert datetime.fromisoformat(str(written["time"])).tzinfo is not None
    assert re.fullmatch(r"[\w\-./%~]+", str(written["source"]))


def test_what_caused_it_is_left_out_where_nothing_did_and_headers_stay_inside() -> None:
    written = envelope(causation_id=None)
    assert "causationid" not in written
    assert "acme" not in json.dumps(written)


def test_an_identity_with_the_categorys_name_in_it_is_cut_once() -> None:
    assert envelope(stream_name="order-order-1")["subject"] == "order-1"


def test_sequences_compare_as_texts_as_they_do_as_numbers() -> None:
    metadata = json.dumps({**envelope(), "category": "a", "stream_name": "a-1", "version": 1})
    written = [json.loads(cloud_event("d", "{}", metadata, place))["sequence"] for place in (0, 9, 10, 2**62)]
    assert written == sorted(written)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"id": "1", "source": "/a"},
        {"specversion": "1.0", "id": "", "source": "/a"},
        {"specversion": "1.0", "id": 1, "source": "/a"},
        {"specversion": "1.0", "id": "1"},
        {"specversion": "1.0", "id": "1" * 3000, "source": "/a"},
        {"specversion": "0.3", "id": "1", "source": "/a"},
    ],
)
def test_what_is_no_cloud_event_is_told_apart_by_its_entry(payload: dict[str, object]) -> None:
    assert identity(payload) is None
    assert correlation({**payload, "correlationid": "c"}) is None


def test_source_and_id_together_tell_events_apart() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/a"}
    assert identity(event) == identity({**event, "data": 1}) != identity({**event, "source": "/b"})
    assert correlation({**event, "correlationid": "c"}) == "c"
    assert correlation({**event, "correlationid": "c\0"}) is None
    assert correlation({**event, "correlationid": ["c"]}) is None
