"""Published events as CloudEvents 1.0 in JSON (structured mode): the envelope that others rely on.

    {"specversion": "1.0", "id": "…", "source": "/shop/order", "type": "shop.OrderPlaced", "subject": "42",
     "time": "2030-01-31T12:00:00Z", "datacontenttype": "application/json", "schemaversion": 1,
     "sequence": "00000000000000000007", "correlationid": "…", "causationid": "…", "data": {…}}

What is here is there for good: attributes may be added, none is changed or taken away. The specification is at
https://github.com/cloudevents/spec; `schemaversion` is an extension of our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic_core import from_json

SPECVERSION = "1.0"

#: Longest `source` and `id`, in characters together, by which others' events are told apart here.
LONGEST_IDENTITY = 2_000


def cloud_event(domain: str, data: str, metadata: str, position: int) -> bytes:
    """The envelope of one event, of the log's two JSON texts: the same at every attempt to publish it.

    `sequence` is the event's place in its aggregate's history, in digits of one width so that texts compare as numbers
    do. Events that are not published have places as well, so there are gaps. Headers stay inside: who wrote what for
    which handler is nobody else's business.
    """
    known: dict[str, Any] = from_json(metadata)
    category = known["category"]
    attributes = {
        "specversion": SPECVERSION,
        "id": known["id"],
        "source": f"/{quote(domain, safe='')}/{category}",
        "type": f"{domain}.{known['type']}",
        "subject": known["stream_name"].removeprefix(f"{category}-"),
        "time": known["time"],
        "datacontenttype": "application/json",
        "schemaversion": known["version"],
        "sequence": f"{position:020d}",
    }
    for attribute, name in (("correlationid", "correlation_id"), ("causationid", "causation_id")):
        if known.get(name) is not None:
            attributes[attribute] = known[name]
    return f'{json.dumps(attributes)[:-1]}, "data": {data}}}'.encode()


def identity(payload: Mapping[str, Any]) -> str | None:
    """What tells this event from every other one, whoever has written it how often; None of what is no CloudEvent."""
    if payload.get("specversion") != SPECVERSION:
        return None
    source, id_ = payload.get("source"), payload.get("id")
    if not (isinstance(source, str) and isinstance(id_, str) and source and id_):
        return None
    return f"{source} {id_}" if len(source) + len(id_) < LONGEST_IDENTITY else None


def correlation(payload: Mapping[str, Any]) -> str | None:
    """The correlation id of a CloudEvent that has one."""
    found = payload.get("correlationid")
    fits = isinstance(found, str) and 0 < len(found) <= 255 and found.isprintable()
    return found if fits and identity(payload) is not None else None
