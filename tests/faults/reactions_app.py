"""The domains that react to others as modules for real server processes: one server, one domain."""

from __future__ import annotations

import json
import os
from datetime import timedelta

from tests.support import fulfillment, trade

from protean import Domain
from protean.deliver import lookout, publishing
from protean.server import supervisor

# Often, so that a test of seconds sees it at work.
lookout.LOOK_INTERVAL = 0.25
publishing.BACKOFF_LAST = 0.5
# Tests kill one process after the other: each time it counts as the first, or the pauses would grow to half a minute.
supervisor.HEALTHY_AFTER = 1.0


def build(name: str) -> Domain:
    """The domain of that name, under the configuration that the environment has for it."""
    config = json.loads(os.environ["REACTIONS_CONFIG"])
    if name == "shop":
        return trade.build_shop(config).domain
    if name == "warehouse":
        return trade.build_warehouse(config).domain
    orders = fulfillment.build_shop(config)
    orders.reminder, orders.patience = timedelta(seconds=0.2), timedelta(seconds=0.5)
    return orders.domain


domain = build(os.environ["REACTIONS_DOMAIN"])
