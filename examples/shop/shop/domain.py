"""One bounded context: an order, the stock reserved for it and its payment change in one transaction where they must.

The packages beside this module know each other's commands and events, and nothing else of each other.
"""

from __future__ import annotations

from protean import Domain, g

shop = Domain("shop")


@shop.command_enricher
def tenant(_command: object) -> dict[str, str]:
    """Whose storefront a request came through. Said once, here: whatever a command causes inherits its headers."""
    return {"tenant": g.tenant} if "tenant" in g else {}
