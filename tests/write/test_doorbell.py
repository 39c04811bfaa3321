"""Who is woken after a commit finds what it was woken for."""

from __future__ import annotations

import pytest
from tests.support.bank import Bank

from protean.exceptions import ValidationError
from protean.message import NewMessage
from protean.ports.outbox import Claim


def test_the_bell_rings_when_what_it_announces_can_be_seen(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    everything, seen = Claim("default", "primary"), []

    def rung(provider: str, messages: list[NewMessage]) -> None:
        seen.append(bank.domain.database(provider).outbox.waiting(everything))

    monkeypatch.setattr(bank.domain, "committed", rung)
    bank.open("a")
    assert seen == [True]


def test_nothing_rings_for_what_was_not_committed(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []
    bank.open("a")
    monkeypatch.setattr(bank.domain, "committed", lambda provider, messages: rung.append(provider))
    with pytest.raises(ValidationError, match="is broken"):
        bank.domain.process(bank.Break(account_id="a"))
    assert rung == []
