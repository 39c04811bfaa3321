"""The relays of a domain's published events, wired together: whoever runs them."""

from __future__ import annotations

import logging

from protean.cloudevents import cloud_event
from protean.config import Config
from protean.deliver.lanes import published_stream
from protean.deliver.publishing import PublishingRelay
from protean.exceptions import BrokerError, DatabaseError
from protean.ports.broker import Feed
from protean.ports.publications import Publication, Publications

logger = logging.getLogger(__name__)


def publishing_relay(
    domain: str, config: Config, publications: Publications, feed: Feed, broker: str
) -> PublishingRelay:
    """What publishes the events of one database to the external broker of that name."""
    external = config.brokers[broker]

    def describe(row: Publication) -> tuple[str, bytes]:
        stream = published_stream(external.stream_prefix, row.category)
        return stream, cloud_event(domain, row.data, row.metadata, row.position)

    return PublishingRelay(
        publications,
        feed,
        broker,
        describe,
        keep=external.published_length,
        batch=config.outbox.messages_per_tick,
    )


def publish_inline(relay: PublishingRelay, broker: str) -> None:
    """Publish right after a commit, where no server does. What cannot be published now goes with the next commit."""
    try:
        relay.empty()
    except (BrokerError, DatabaseError) as error:
        logger.warning("Published events wait for the broker %s until the next commit: %s", broker, error)
