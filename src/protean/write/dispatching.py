"""Answering a query: one handler, which reads and changes nothing."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import Any

from protean.elements.query import QueryElement
from protean.exceptions import ConfigurationError, InvalidOperationError
from protean.write.context import ActiveDomain, active, is_active
from protean.write.restriction import Restriction, restricted
from protean.write.unit_of_work import current_unit_of_work


def dispatch(domain: ActiveDomain, query: object) -> Any:
    """Have the query answered, and return what its handler returns. Raises what the handler raises.

    No unit of work is begun: every reading has a transaction of its own. Inside one that is there already, its
    handler sees what that has written so far. Raises InvalidOperationError when the handler changes anything.
    """
    if not isinstance(query, QueryElement):
        raise ConfigurationError(
            f"dispatch() takes a query of this domain, not {query!r:.80}; commands go to process()"
        )
    route, name = domain.registry.query_route(type(query)), type(query).__name__
    around = current_unit_of_work(domain)
    if around is not None:
        around.flush()  # so that what is written below, under the restriction, is the query's own doing
    why = f"the query {name} is being answered, and a query only reads; process a command instead"
    with nullcontext() if is_active(domain) else active(domain), restricted(Restriction(why)):
        result = route.method(route.handler(), query)
        if around is not None:
            around.flush()
    if inspect.iscoroutine(result):
        result.close()
        raise InvalidOperationError(
            f"{route.handler.__name__} returned a coroutine for {name}, and nothing of it has run; a query is answered "
            "where it is dispatched, in plain code"
        )
    return result
