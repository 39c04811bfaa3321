"""Which brokers the outbox may publish to: the domain's own, and those that get published events."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from protean.suggestion import did_you_mean


def check_own(own: str, brokers: Collection[str], *, asynchronous: bool) -> None:
    """Raise ValueError where the domain's own broker is not there, and somebody counts on it.

    Only `default` need not be: without it events are handled right after the commit. Of a broker that somebody has
    named, mistyped, that would be a surprise.
    """
    if own in brokers:
        return
    if own != "default":
        raise ValueError(
            f"broker of [outbox] names {own!r:.80}, and there is no [brokers.{own:.80}]{did_you_mean(own, brokers)}"
        )
    if asynchronous:
        raise ValueError(
            f'event_processing = "async" needs a broker: add [brokers.{own}], for example with uri = "embedded"'
        )


def check_external(external: Sequence[str], own: str, brokers: Collection[str]) -> None:
    """Raise ValueError unless every name is one of `brokers`, once, and none is the domain's own."""
    for name in external:
        if name not in brokers:
            raise ValueError(
                f"external_brokers of [outbox] names {name!r:.80}, and there is no [brokers.{name:.80}]"
                f"{did_you_mean(name, brokers)}"
            )
    if own in external:
        raise ValueError(
            f"external_brokers of [outbox] names {own!r:.80}, which carries the domain's own messages; make another "
            "[brokers.…] for published events, with the same uri if they are to share a server"
        )
    if len(set(external)) != len(external):
        raise ValueError("external_brokers of [outbox] names a broker twice")
