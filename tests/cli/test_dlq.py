"""`protean dlq`: a handler fails for good, people look, mend it, and replay."""

from __future__ import annotations

import base64
import json

import pytest
from redis import Redis
from tests.cli.conftest import Running, Shop, eventually
from tests.cli.test_db import on_terminal

HARMLESS = "RuntimeError: \\x1b[2J\\x1b]0;owned\\x07[red]boom[/red]\\x9b31m"


def dead(shop: Shop, *names: str, priority: int = 0) -> tuple[Running, list[str]]:
    """A server, and customers whose greeting is a dead letter; their ids."""
    server = shop.server()
    customers = shop.register(*names, priority=priority)
    eventually(lambda: shop.json("dlq", "list")["total"] == len(names), within=40)
    return server, customers


@pytest.mark.proves("protean dlq list")
def test_the_list_tells_who_failed_at_what_and_why(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada")

    (failure,) = failing_shop.json("dlq", "list")["failures"]
    text = failing_shop.protean("dlq", "list").stdout

    assert (failure["handler"], failure["stream"], failure["message_type"]) == (
        "GreetingProjector",
        "customer",
        "CustomerRegistered",
    )
    assert (failure["state"], failure["attempts"], failure["error_type"]) == ("dead", 1, "RuntimeError")
    assert text.splitlines()[0].split() == [
        *("HANDLER", "STREAM", "TYPE", "STATE", "ERROR", "ATTEMPTS", "FAILED", "AT", "ID")
    ]
    assert failure["message_id"] in text
    assert "1 failure." in text


def test_the_list_is_filtered_by_state_handler_and_stream(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada", priority=-50)

    def total(*options: str) -> int:
        return int(failing_shop.json("dlq", "list", *options)["total"])

    assert total("--state=all") == total("--handler=GreetingProjector") == total("--stream=customer:backfill") == 1
    assert total("--state=waiting") == total("--handler=CustomerProjector") == total("--stream=customer") == 0
    assert failing_shop.protean("dlq", "list", "--stream=customer").stdout == "There are no dead letters.\n"
    wrong = failing_shop.protean("dlq", "list", "--handler=GreetingProjectr")
    assert wrong.returncode == 2
    assert "did you mean `GreetingProjector`?" in wrong.stderr


def test_a_limit_shows_the_newest_and_says_how_many_there_are(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada", "Bob", "Eve")

    limited = failing_shop.json("dlq", "list", "--limit=2")

    assert (limited["total"], len(limited["failures"])) == (3, 2)
    assert "3 failures (the newest 2 are shown)" in failing_shop.protean("dlq", "list", "--limit=2").stdout


def test_an_escape_sequence_in_an_error_is_shown_and_not_obeyed(failing_shop: Shop) -> None:
    failing_shop.env["TERM"] = "xterm-256color"
    failing_shop.env["COLUMNS"] = "300"
    dead(failing_shop, "Ada")
    message_id = failing_shop.json("dlq", "list")["failures"][0]["message_id"]

    for command in (["dlq", "list"], ["dlq", "inspect", message_id], ["dlq", "list", "--json"]):
        _, shown = on_terminal(failing_shop, "", *command)
        assert "[red]boom[/red]" in shown
        for obeyed in ("\x1b[2J", "\x1b]0;", "\x07", "\x9b"):
            assert obeyed not in shown
    assert HARMLESS in failing_shop.protean("dlq", "list").stdout


@pytest.mark.proves("protean dlq inspect")
def test_inspecting_shows_traceback_and_message_and_hides_the_data(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada Lovelace")
    message_id = failing_shop.json("dlq", "list")["failures"][0]["message_id"]

    text = failing_shop.protean("dlq", "inspect", message_id).stdout
    open_text = failing_shop.protean("dlq", "inspect", message_id, "--payload").stdout
    (report,) = failing_shop.json("dlq", "inspect", message_id[:8])["failures"]
    (full,) = failing_shop.json("dlq", "inspect", message_id, "--payload")["failures"]

    assert "Traceback (most recent call last):" in text
    assert "greetings.py" in text
    assert "Ada Lovelace" not in text
    assert "hidden; --payload shows it" in text
    assert "Ada Lovelace" in open_text
    assert report["envelope"]["data"] == "hidden; --payload shows it"
    assert report["envelope"]["metadata"]["id"] == message_id
    assert full["envelope"]["data"]["name"] == "Ada Lovelace"


def test_inspecting_counts_what_is_blocked_behind(failing_shop: Shop) -> None:
    server, (customer,) = dead(failing_shop, "Ada")
    failing_shop.rename(customer, 3)
    eventually(lambda: server.count("waits behind an earlier failure") == 3)

    (report,) = failing_shop.json("dlq", "inspect", failing_shop.json("dlq", "list")["failures"][0]["message_id"])[
        "failures"
    ]
    lane = failing_shop.json("lanes", "status")["lanes"][0]

    assert report["blocked"] == 3
    assert (lane["dead"], lane["blocked"], lane["drained"]) == (1, 3, False)
    assert lane["lag"] == lane["pending"] == lane["outbox"] == 0


def test_bytes_that_nobody_could_read_are_kept_and_shown_when_asked(failing_shop: Shop, broker_url: str) -> None:
    failing_shop.server()
    with Redis.from_url(broker_url) as broker:
        broker.xadd("customer", {"data": b"\xff\x1b[2Jgarbage"})
    eventually(lambda: failing_shop.json("dlq", "list")["total"] == 2)  # both projectors
    message_id = failing_shop.json("dlq", "list")["failures"][0]["message_id"]

    hidden = failing_shop.json("dlq", "inspect", message_id)["failures"]
    shown = failing_shop.json("dlq", "inspect", message_id, "--payload")["failures"]

    assert [report["raw"] for report in hidden] == ["12 bytes, hidden; --payload shows it"] * 2
    assert base64.b64decode(shown[0]["raw"]) == b"\xff\x1b[2Jgarbage"
    several = failing_shop.protean("dlq", "replay", message_id, "--yes")
    assert several.returncode == 2
    assert "name one of them with --handler" in several.stderr


def test_an_unknown_id_is_a_misuse(failing_shop: Shop) -> None:
    failing_shop.protean("db", "setup")

    done = failing_shop.protean("dlq", "inspect", "nothing")

    assert done.returncode == 2
    assert "no failure has the id 'nothing'" in done.stderr


def test_an_id_cut_too_short_names_those_it_may_mean(failing_shop: Shop) -> None:
    dead(failing_shop, *(f"c{number}" for number in range(20)))  # more ids than there are first digits

    ids = [failure["message_id"] for failure in failing_shop.json("dlq", "list")["failures"]]
    first = next(letter for letter in "0123456789abcdef" if sum(each.startswith(letter) for each in ids) > 1)
    done = failing_shop.protean("dlq", "replay", first, "--yes")

    assert done.returncode == 2
    assert f"messages have an id that begins with '{first}'" in done.stderr


@pytest.mark.proves("protean dlq replay")
def test_a_replay_after_the_handler_is_mended_succeeds_and_brings_along_what_was_blocked(failing_shop: Shop) -> None:
    server, (customer,) = dead(failing_shop, "Ada")
    failing_shop.rename(customer, 2)
    eventually(lambda: server.count("waits behind an earlier failure") == 2)
    message_id = failing_shop.json("dlq", "list")["failures"][0]["message_id"]
    acked = server.count("[CustomerProjector]")
    failing_shop.broken.unlink()

    done = failing_shop.protean("dlq", "replay", message_id, "--yes")

    assert done.returncode == 0
    assert done.stdout == "1 dead letter replayed: 1 succeeded, 0 failed again\n"
    assert failing_shop.json("lanes", "status")["drained"] is True
    assert server.count("[CustomerProjector]") == acked  # to one handler only


def test_a_replay_that_fails_again_says_so_and_exits_with_one(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada")

    done = failing_shop.protean("dlq", "replay", "--handler=GreetingProjector", "--yes", "--json")

    result = json.loads(done.stdout)
    assert done.returncode == 1
    assert (result["released"], result["succeeded"], len(result["failed_again"])) == (1, 0, 1)
    assert result["failed_again"][0]["error_type"] == "RuntimeError"
    assert failing_shop.json("dlq", "list")["total"] == 1


def test_a_stream_is_replayed_alone(failing_shop: Shop) -> None:
    server = failing_shop.server()
    failing_shop.register("Ada")
    failing_shop.register("Bob", "Eve", priority=-50)
    eventually(lambda: failing_shop.json("dlq", "list")["total"] == 3)
    failing_shop.broken.unlink()

    done = failing_shop.protean("dlq", "replay", "--stream=customer:backfill", "--yes")

    assert done.stdout == "2 dead letters replayed: 2 succeeded, 0 failed again\n"
    assert failing_shop.json("dlq", "list")["failures"][0]["stream"] == "customer"
    assert server.count("succeeded at attempt") == 2


def test_without_an_engine_a_replay_waits_for_one_and_says_so(failing_shop: Shop) -> None:
    server, _ = dead(failing_shop, "Ada")
    server.process.terminate()
    assert server.ended() == 0

    done = failing_shop.protean("dlq", "replay", "--handler=GreetingProjector", "--yes")

    assert done.returncode == 1
    assert "No engine is running: 1 message will be tried when one starts" in done.stdout
    assert failing_shop.json("dlq", "list", "--state=waiting")["total"] == 1
    waiting = failing_shop.json("dlq", "list", "--state=waiting")["failures"][0]["message_id"]
    again = failing_shop.protean("dlq", "replay", waiting, "--yes")
    assert again.returncode == 2
    assert "only dead letters are replayed" in again.stderr


def test_replaying_nothing_is_said_and_needs_no_confirmation(failing_shop: Shop) -> None:
    failing_shop.protean("db", "setup")

    done = failing_shop.protean("dlq", "replay", "--handler=GreetingProjector")

    assert (done.returncode, done.stdout) == (0, "There is nothing to replay: no such dead letters.\n")


def test_a_replay_must_say_what(failing_shop: Shop) -> None:
    done = failing_shop.protean("dlq", "replay", "--yes")

    assert done.returncode == 2
    assert "say what to replay" in done.stderr


def test_a_replay_shows_what_it_would_do_and_asks(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada", "Bob")

    refused = failing_shop.protean("dlq", "replay", "--handler=GreetingProjector")
    declined, shown = on_terminal(failing_shop, "n\n", "dlq", "replay", "--handler=GreetingProjector")

    assert refused.returncode == 2
    assert "add --yes" in refused.stderr
    assert declined == 1
    assert "Replay 2 dead letters?" in shown
    assert failing_shop.json("dlq", "list")["total"] == 2


def test_letters_of_one_cause_are_counted_as_a_group_and_replayed_by_its_id(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada", "Bob")
    (group,) = failing_shop.json("dlq", "list", "--group-by=error")["groups"]
    text = failing_shop.protean("dlq", "list", "--group-by=error").stdout
    failing_shop.broken.unlink()

    unknown = failing_shop.protean("dlq", "replay", "--group=nobody", "--yes")
    replayed = failing_shop.json("dlq", "replay", f"--group={group['id']}", "--yes")

    assert (group["count"], group["handler"], group["error_type"]) == (2, "GreetingProjector", "RuntimeError")
    assert text.splitlines()[0].split() == ["COUNT", "GROUP", "HANDLER", "STREAM", "ERROR", "FIRST", "LAST"]
    assert group["id"] in text
    assert unknown.returncode == 2
    assert "no group of dead letters has the id 'nobody'" in unknown.stderr
    assert (replayed["released"], replayed["succeeded"]) == (2, 2)


def test_pages_follow_each_other(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada", "Bob", "Eve")

    first = failing_shop.json("dlq", "list", "--limit=2")
    second = failing_shop.json("dlq", "list", "--limit=2", f"--after={first['next']}")

    ids = [failure["message_id"] for page in (first, second) for failure in page["failures"]]
    assert len(set(ids)) == 3
    assert second["next"] is None
    assert failing_shop.protean("dlq", "list", "--after=nonsense").returncode == 1


@pytest.mark.proves("protean dlq replay-all")
def test_everything_is_replayed_at_once(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada", "Bob")
    failing_shop.broken.unlink()

    declined, shown = on_terminal(failing_shop, "n\n", "dlq", "replay-all")
    done = failing_shop.protean("dlq", "replay-all", "--yes")

    assert declined == 1
    assert "Replay 2 dead letters?" in shown
    assert done.stdout == "2 dead letters replayed: 2 succeeded, 0 failed again\n"


@pytest.mark.proves("protean dlq discard")
def test_a_discard_lets_what_waits_behind_it_go_on_and_is_remembered_with_its_reason(failing_shop: Shop) -> None:
    server, (customer,) = dead(failing_shop, "Ada")
    failing_shop.rename(customer, 2)
    eventually(lambda: server.count("waits behind an earlier failure") == 2)
    message_id = failing_shop.json("dlq", "list")["failures"][0]["message_id"]

    unsaid = failing_shop.protean("dlq", "discard", message_id, "--yes")
    unmeant = failing_shop.protean("dlq", "discard", "--reason=merged", "--yes")
    refused = failing_shop.protean("dlq", "discard", message_id, "--reason=merged")
    done = failing_shop.protean("dlq", "discard", message_id, "--reason=merged", "--by=Ada", "--yes")

    assert [unsaid.returncode, unmeant.returncode, refused.returncode] == [2, 2, 2]
    assert "--reason" in unsaid.stderr
    assert "say what to discard" in unmeant.stderr
    assert "add --yes" in refused.stderr
    assert (done.returncode, done.stdout) == (0, "1 dead letter discarded by Ada: merged\n")
    assert failing_shop.json("lanes", "status")["drained"] is True
    assert server.count("never, discarded by Ada: merged") == 1
    (kept,) = failing_shop.json("dlq", "list", "--state=archived")["failures"]
    assert (kept["discarded_by"], kept["discard_reason"], kept["attempts"]) == ("Ada", "merged", 1)
    assert "Discarded  by Ada: merged" in failing_shop.protean("dlq", "inspect", message_id).stdout
    again = failing_shop.protean("dlq", "replay", message_id, "--yes")
    assert again.returncode == 2
    assert "is archived: only dead letters are replayed" in again.stderr


def test_without_an_engine_a_discard_waits_for_one_and_says_so(failing_shop: Shop) -> None:
    server, _ = dead(failing_shop, "Ada")
    server.process.terminate()
    assert server.ended() == 0

    done = failing_shop.protean("dlq", "discard", "--handler=GreetingProjector", "--reason=test data", "--yes")

    assert done.returncode == 1
    assert "No engine is running: 1 message will be passed over when one starts" in done.stdout
    assert "discarding" in failing_shop.protean("dlq", "list", "--state=waiting").stdout


@pytest.mark.proves("protean dlq purge")
def test_old_letters_are_purged_and_those_that_others_wait_behind_are_kept(failing_shop: Shop) -> None:
    dead(failing_shop, "Ada", "Bob")
    first, _ = failing_shop.json("dlq", "list")["failures"]
    failing_shop.json("dlq", "discard", first["message_id"], "--reason=test data", "--yes")

    wrong = failing_shop.protean("dlq", "purge", "--older-than=tomorrow")
    nothing = failing_shop.protean("dlq", "purge", "--older-than=1h")
    refused = failing_shop.protean("dlq", "purge", "--older-than=0s", "--state=both")
    done = failing_shop.protean("dlq", "purge", "--older-than=0s", "--state=both", "--yes")

    assert wrong.returncode == 2
    assert "'tomorrow' is not a duration" in wrong.stderr
    assert (nothing.returncode, nothing.stdout) == (0, "There is nothing to purge.\n")
    assert refused.returncode == 2
    assert done.stdout.splitlines() == [
        "1 letter deleted",
        "1 dead letter kept: later messages wait behind them; replay or discard them first",
    ]
    assert failing_shop.json("dlq", "list", "--state=all")["total"] == 1
