"""The broker contract: acknowledging, trimming, and the numbers that say what is left."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from protean.ports.broker import Broker
from protean.testing.contracts.broker_steps import assert_all_done, drain, fill, group_of, payloads


class TrimmingContract:
    """Nothing that somebody needs is trimmed, and what is left is counted truly."""

    # Acknowledging and trimming

    def test_acknowledging_everything_empties_the_stream(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 30)
        for batch in drain(broker, stream, "Group", 7):
            assert batch

        assert_all_done(broker, stream)

    def test_what_another_consumer_has_in_hand_is_kept(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 4)
        in_hand = broker.read(stream, "Group", "slow", 2, 0)
        finished = broker.read(stream, "Group", "quick", 2, 0)
        broker.ack(stream, "Group", [entry.id for entry in finished])

        assert broker.pending(stream, "Group", "slow", "0", 10) == in_hand
        assert broker.stream(stream).first_id == in_hand[0].id

        broker.ack(stream, "Group", [entry.id for entry in in_hand])
        assert_all_done(broker, stream)

    def test_what_another_group_has_not_read_is_kept(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Quick")
        broker.ensure_group(stream, "Slow")
        fill(broker, stream, 10)
        for _ in drain(broker, stream, "Quick", 10):
            pass

        assert broker.stream(stream).length == 10
        assert [len(batch) for batch in drain(broker, stream, "Slow", 4)] == [4, 4, 2]
        assert_all_done(broker, stream)

    def test_what_another_group_has_not_acknowledged_is_kept(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Quick")
        broker.ensure_group(stream, "Slow")
        fill(broker, stream, 10)
        in_hand = broker.read(stream, "Slow", "one", 10, 0)
        for _ in drain(broker, stream, "Quick", 10):
            pass

        assert broker.pending(stream, "Slow", "one", "0", 10) == in_hand
        broker.ack(stream, "Slow", [entry.id for entry in in_hand[:6]])
        assert broker.stream(stream).length == 4
        broker.ack(stream, "Slow", [entry.id for entry in in_hand[6:]])
        assert_all_done(broker, stream)

    def test_three_groups_at_different_speeds(self, broker: Broker, stream: str) -> None:
        speeds = {"A": 1, "B": 3, "C": 10}
        got: dict[str, list[bytes | None]] = {group: [] for group in speeds}
        for group in speeds:
            broker.ensure_group(stream, group)
        fill(broker, stream, 60)

        for _ in range(60):
            for group, count in speeds.items():
                entries = broker.read(stream, group, "one", count, 0)
                got[group] += payloads(entries)
                broker.ack(stream, group, [entry.id for entry in entries])
                assert group_of(broker, stream, group).lag == 60 - len(got[group])
            assert broker.stream(stream).length == 60 - min(map(len, got.values()))

        assert got == {group: [str(n).encode() for n in range(60)] for group in speeds}
        assert_all_done(broker, stream)

    def test_acknowledged_out_of_order(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 3)
        one, two, three = broker.read(stream, "Group", "one", 3, 0)

        broker.ack(stream, "Group", [three.id])
        assert broker.stream(stream).length == 3
        broker.ack(stream, "Group", [one.id])
        assert broker.stream(stream).first_id == two.id
        broker.ack(stream, "Group", [two.id])
        assert_all_done(broker, stream)

    def test_acknowledging_trims_nothing_unread(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 10)
        (first,) = broker.read(stream, "Group", "one", 1, 0)
        broker.ack(stream, "Group", [first.id])

        assert broker.stream(stream).length == 9
        assert len(broker.read(stream, "Group", "one", 10, 0)) == 9

    def test_acknowledging_twice_or_nothing_or_what_is_gone_is_harmless(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 2)
        first, second = broker.read(stream, "Group", "one", 2, 0)
        for _ in range(2):
            broker.ack(stream, "Group", [first.id])
        broker.ack(stream, "Group", [])
        assert broker.pending(stream, "Group", "one", "0", 10) == [second]

        broker.flush(stream)
        broker.ack(stream, "Group", [second.id])
        assert broker.stream(stream).groups == ()

    def test_what_is_acknowledged_without_trimming_stays_for_others(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Guest")
        fill(broker, stream, 4)
        entries = broker.read(stream, "Guest", "one", 3, 0)
        broker.ack(stream, "Guest", [entry.id for entry in entries], trim=False)

        state = broker.stream(stream)
        assert (state.length, state.first_id) == (4, entries[0].id)
        assert (group_of(broker, stream, "Guest").lag, group_of(broker, stream, "Guest").pending) == (1, 0)
        assert broker.pending(stream, "Guest", "one", "0", 10) == []
        broker.ensure_group(stream, "Late")
        assert broker.read(stream, "Late", "one", 3, 0) == entries
        (last,) = broker.read(stream, "Guest", "one", 9, 0)
        broker.ack(stream, "Guest", [last.id], trim=False)
        assert broker.stream(stream).length == 4

    def test_thousands_are_acknowledged_at_once(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 3_000)
        entries = broker.read(stream, "Group", "one", 3_000, 0)
        broker.ack(stream, "Group", [entry.id for entry in entries])

        assert_all_done(broker, stream)

    # Lag

    def test_lag_is_what_nobody_in_the_group_has_got(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        assert group_of(broker, stream, "Group").lag == 0
        fill(broker, stream, 5)
        assert group_of(broker, stream, "Group").lag == 5
        broker.read(stream, "Group", "one", 2, 0)

        state = group_of(broker, stream, "Group")
        assert (state.lag, state.pending) == (3, 2)
        assert state.consumers == ("one",)
        assert state.oldest_pending_id == broker.stream(stream).first_id

    def test_lag_of_a_late_group_counts_what_is_there(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Early")
        fill(broker, stream, 10)
        entries = broker.read(stream, "Early", "one", 6, 0)
        broker.ack(stream, "Early", [entry.id for entry in entries])

        broker.ensure_group(stream, "Late")
        assert group_of(broker, stream, "Late").lag == 4
        for expected in [3, 2, 1, 0]:
            (entry,) = broker.read(stream, "Late", "one", 1, 0)
            assert group_of(broker, stream, "Late").lag == expected
            broker.ack(stream, "Late", [entry.id])
            assert group_of(broker, stream, "Late").lag == expected

        for _ in drain(broker, stream, "Early", 10):
            pass
        assert_all_done(broker, stream)

    def test_lag_of_a_late_group_on_a_stream_trimmed_empty(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Early")
        fill(broker, stream, 10)
        for _ in drain(broker, stream, "Early", 10):
            pass

        broker.ensure_group(stream, "Late")
        assert group_of(broker, stream, "Late").lag == 0
        fill(broker, stream, 3)
        assert group_of(broker, stream, "Late").lag == 3
        assert group_of(broker, stream, "Early").lag == 3
        broker.read(stream, "Late", "one", 2, 0)
        assert group_of(broker, stream, "Late").lag == 1

    def test_lag_stays_true_through_many_rounds(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "A")
        broker.ensure_group(stream, "B")
        for batch in range(1, 8):
            fill(broker, stream, batch)
            assert broker.backlog([(stream, "A"), (stream, "B")]) == [batch, batch]
            for group in ["A", "B"]:
                for _ in drain(broker, stream, group, 2):
                    pass
            assert_all_done(broker, stream)

    # Inspection

    def test_a_stream_that_is_not_there_is_empty(self, broker: Broker, stream: str) -> None:
        state = broker.stream(stream)

        assert (state.length, state.first_id, state.groups) == (0, None, ())

    def test_backlog_is_lag_plus_pending(self, broker: Broker, stream: str) -> None:
        other = f"{stream}:backfill"
        broker.ensure_group(stream, "A")
        broker.ensure_group(stream, "B")
        broker.ensure_group(other, "A")
        fill(broker, stream, 5)
        fill(broker, other, 2)
        broker.read(stream, "A", "one", 3, 0)
        (entry, *_) = broker.read(stream, "B", "one", 3, 0)
        broker.ack(stream, "B", [entry.id])

        asked = [(other, "A"), (stream, "B"), (stream, "missing"), (f"{stream}:missing", "A"), (stream, "A")]
        assert broker.backlog(asked) == [2, 4, 0, 0, 5]
        assert broker.backlog([]) == []

    def test_entries_are_read_without_a_group(self, broker: Broker, stream: str) -> None:
        fill(broker, stream, 5)

        first = broker.entries(stream, "-", 2)
        rest = broker.entries(stream, first[-1][0], 10)

        assert [fields for _, fields in first + rest] == [{"data": str(n).encode()} for n in range(5)]
        assert broker.entries(stream, rest[-1][0], 10) == []
        assert broker.entries(f"{stream}:missing", "-", 10) == []
