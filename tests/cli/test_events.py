"""`protean events read | search | trace` and `protean snapshot create`."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from tests.cli.conftest import Shop

from protean.cli.events import as_tree
from protean.message import Message, MessageKind

#: An event-sourced aggregate beside the example's; arguments: identities to open.
ACCOUNTS = """
from protean import apply, current_domain, handle
from protean.fields import Identifier, Integer
from my_app.identity.domain import identity

@identity.event(part_of="Account")
class AccountOpened:
    account_id: Identifier(required=True)

@identity.aggregate(event_sourced=True)
class Account:
    account_id: Identifier(identifier=True)
    opened: Integer(default=0)

    @apply
    def was_opened(self, event: AccountOpened) -> None:
        self.opened += 1
"""
OPEN = """
import sys
from my_app.identity.domain import identity
from my_app.identity.accounts import Account, AccountOpened
identity.init()
with identity.domain_context():
    for key in sys.argv[1:]:
        account = Account(account_id=key)
        account.raise_(AccountOpened(account_id=key))
        identity.repository_for(Account).add(account)
identity.close()
"""


@pytest.mark.proves("protean events read")
def test_a_stream_is_read_and_its_payloads_only_when_asked_for(shop: Shop) -> None:
    (customer,) = shop.register("Ada")
    shop.rename(customer, 2)

    page = shop.json("events", "read", f"customer-{customer}", "--limit=2")
    assert [each["position"] for each in page["messages"]] == [0, 1]
    assert "data" not in page["messages"][0]
    rest = shop.json("events", "read", f"customer-{customer}", f"--after={page['next']}", "--data")
    assert [each["data"]["name"] for each in rest["messages"]] == ["name 1"]
    assert rest["next"] is None

    shown = shop.protean("events", "read", f"customer-{customer}")
    assert "CustomerRegistered" in shown.stdout
    assert "Ada" not in shown.stdout
    assert "Ada" in shop.protean("events", "read", f"customer-{customer}", "--data").stdout
    assert shop.protean("events", "read", "customer-none").stdout == "There is nothing in customer-none.\n"


@pytest.mark.proves("protean events search", "protean events trace")
def test_the_log_is_searched_and_traced(shop: Shop) -> None:
    first, _ = shop.register("Ada", "Bob")
    shop.rename(first, 1)

    found = shop.json("events", "search", "--type=CustomerRegistered", "--since=1h", "--limit=1")
    assert [each["type"] for each in found["messages"]] == ["CustomerRegistered"]
    rest = shop.json("events", "search", "--category=customer", f"--after={found['next']}")
    assert len(rest["messages"]) == 2
    assert shop.json("events", "search", "--until=1h")["messages"] == []

    correlation = found["messages"][0]["correlation_id"]
    traced = shop.json("events", "trace", correlation)
    assert [(each["depth"], each["stream"]) for each in traced["messages"]] == [(0, f"customer-{first}")]
    assert traced["complete"]
    told = shop.protean("events", "trace", correlation).stdout
    assert "a command that was handled at once" in told
    assert "1 message\n" in told
    assert "has the correlation id none" in shop.protean("events", "trace", "none").stdout


def test_a_trace_of_a_message_begins_where_that_did_however_long_ago(shop: Shop, database_url: str) -> None:
    first, _ = shop.register("Ada", "Bob")
    (message,) = shop.json("events", "read", f"customer-{first}")["messages"]
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        connection.execute(
            "UPDATE messages SET time = time - interval '40 days', metadata = jsonb_set(metadata, '{time}', "
            "to_jsonb(to_char(time AT TIME ZONE 'UTC' - interval '40 days', 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00')))"
        )

    assert shop.json("events", "trace", message["correlation_id"])["messages"] == []
    for whatever in (message["id"], message["id"].upper()):
        traced = shop.json("events", "trace", whatever)
        assert [each["id"] for each in traced["messages"]] == [message["id"]]
        assert traced["correlation_id"] == message["correlation_id"]


@pytest.mark.proves("protean snapshot create")
def test_snapshots_are_taken_of_one_or_of_all(shop: Shop, database_url: str) -> None:
    (shop.folder / "my_app" / "identity" / "accounts.py").write_text(ACCOUNTS)
    shop.script(OPEN, "1", "2", "3")

    assert shop.json("snapshot", "create", "Account", "--id=2") == {"aggregate": "Account", "snapshots": 1}
    assert shop.protean("snapshot", "create", "Account").stdout == "3 snapshots of Account\n"
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        kept = connection.execute("SELECT stream_name, position FROM snapshots ORDER BY 1").fetchall()
    assert kept == [(f"account-{number}", 0) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (
            ["snapshot", "create", "Acount"],
            "Acount is no event-sourced aggregate of this domain (Account), did you mean",
            2,
        ),
        (["snapshot", "create", "Account", "--id=9"], "there is no Account with identity '9'", 1),
        (["events", "search", "--until=tomorrow"], "--until=tomorrow is neither a moment", 2),
        (["events", "search", "--database=other"], "--database=other is none of default", 2),
        (["events", "read", "x", "--limit=0"], "must be from 1 to", 2),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(shop: Shop, arguments: list[str], said: str, code: int) -> None:
    (shop.folder / "my_app" / "identity" / "accounts.py").write_text(ACCOUNTS)

    done = shop.protean(*arguments)

    assert done.returncode == code
    assert said in done.stderr


def message(id_: str, cause: str | None, position: int) -> Message:
    defaults: dict[str, Any] = {"version": 1, "priority": 0, "data": {}, "time": None, "category": "order"}
    return Message(
        id=id_,
        type="Happened",
        kind=MessageKind.EVENT,
        stream_name="order-1",
        position=position,
        global_position=position,
        causation_id=cause,
        **defaults,
    )


def test_effects_stand_behind_their_causes_however_deep() -> None:
    chain = [message("0", "a command", 0), *(message(str(n), str(n - 1), n) for n in range(1, 3_000))]
    other = message("other", "0", 3_000)

    rows = [(depth, each.id) for depth, each in as_tree([*chain, other])]

    assert rows[:3] == [(0, "0"), (1, "1"), (2, "2")]
    assert rows[-2:] == [(2_999, "2999"), (1, "other")]
