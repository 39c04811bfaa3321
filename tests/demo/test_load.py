"""Production's side of the demo: who asks for what, and when the read model shows it."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from protean.cli.demo.load import Ledger, Mix
from protean.cli.demo.samples import Kind, Sample
from protean.cli.demo.watch import PATIENCE, Watch, pause

EXISTING = [f"customer-{number}" for number in range(100)]


def test_a_quarter_registers_and_everybody_else_is_renamed_in_turn() -> None:
    mix = Mix(EXISTING, lambda: iter(()), lambda _: False)

    asked = [mix.next(number, 0.0) for number in range(400)]

    assert sum(sample.kind is Kind.REGISTER for sample in asked) == 100
    assert {sample.customer_id for sample in asked if sample.kind is Kind.RENAME} == set(EXISTING)
    assert len({sample.name for sample in asked}) == 400


def test_every_other_rename_is_of_somebody_who_waits() -> None:
    mix = Mix(EXISTING, lambda: iter(["busy", "waits"]), lambda customer_id: customer_id == "busy")

    asked = [mix.next(number, 0.0) for number in range(4)]

    assert [(sample.kind, sample.customer_id) for sample in asked if sample.kind is Kind.RENAME_WAITING] == [
        (Kind.RENAME_WAITING, "waits"),
        (Kind.RENAME_WAITING, "waits"),
    ]
    assert asked[2].kind is Kind.RENAME


def test_nobody_is_renamed_while_an_earlier_request_is_awaited() -> None:
    mix = Mix(EXISTING, lambda: iter(()), lambda customer_id: customer_id != EXISTING[42])

    assert {mix.next(number, 0.0).customer_id for number in range(1, 20, 2)} == {EXISTING[42]}


def test_a_request_is_seen_when_the_view_has_its_name_and_not_before() -> None:
    now, views, seen = Clock(), dict[str, str](), list[tuple[str, float | None]]()
    watch = watching(now, views, seen)
    request = sample("ada", scheduled=100.0)
    watch.expect(request)

    watch.look([request])
    assert seen == []
    views["ada"] = "an older name"
    watch.look([request])
    assert seen == []
    views["ada"], now.time = request.name, 100.25
    watch.look([request])

    assert seen == [("ada", 100.25)]


def test_a_request_that_never_shows_is_given_up() -> None:
    now, seen = Clock(), list[tuple[str, float | None]]()
    watch = watching(now, {}, seen)
    request = sample("ada", scheduled=100.0)
    watch.expect(request)

    now.time = 100.0 + PATIENCE + 0.1
    watch.look([request])

    assert seen == [("ada", None)]


@pytest.mark.parametrize(("waited", "seconds"), [(0.0, 0.001), (0.09, 0.001), (0.5, 0.005), (5.0, 0.05)])
def test_looks_are_dense_only_where_it_matters(waited: float, seconds: float) -> None:
    assert pause(waited) == seconds


def test_a_customer_is_busy_until_the_request_is_written_down() -> None:
    file = io.StringIO()
    ledger, request = Ledger(file), sample("ada")

    ledger.begin(request)
    assert ledger.busy("ada")
    ledger.seen(replace(request, answered=1.0), 2.0)

    assert not ledger.busy("ada")
    assert '"answered": 1.0, "visible": 2.0, "error": null' in file.getvalue()
    assert file.getvalue().count("\n") == 1


def test_what_was_never_seen_and_what_was_refused_are_errors() -> None:
    file = io.StringIO()
    ledger = Ledger(file)

    ledger.seen(sample("ada"), None)
    ledger.refused(sample("bea"), "HTTP status 500")

    assert "the read model does not show it" in file.getvalue()
    assert "HTTP status 500" in file.getvalue()


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def watching(now: Clock, views: dict[str, str], seen: list[tuple[str, float | None]]) -> Watch:
    def shown(customer_ids: Collection[str]) -> list[dict[str, Any]]:
        return [{"customer_id": each, "name": views[each]} for each in customer_ids if each in views]

    return Watch(shown, lambda request, moment: seen.append((request.customer_id, moment)), now)


def sample(customer_id: str, scheduled: float = 0.0) -> Sample:
    return Sample(kind=Kind.RENAME, customer_id=customer_id, name="Request 1", scheduled=scheduled)
