"""What a domain offers for reading: views, queries, and making projections anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from protean.elements.projection import ProjectionElement
from protean.exceptions import ConfigurationError
from protean.handle.rebuilt import BATCH, RebuildProgress, Rebuilt
from protean.write.context import ActiveDomain
from protean.write.dispatching import dispatch
from protean.write.view import View

T = TypeVar("T")


def _nobody(_progress: RebuildProgress) -> None:
    """Told of progress that nobody asked for."""


class ReadingMethods:
    """A mixin of `Domain`."""

    def view_for(self: ActiveDomain, projection: type[T]) -> View[T]:
        """The rows of a projection, to be read. Raises ConfigurationError for anything else."""
        return View(self, projection)

    def dispatch(self: ActiveDomain, query: Any) -> Any:
        """Have a query answered by its handler, and return the answer. No unit of work is begun.

        Raises what the handler raises, and InvalidOperationError when it changes anything.
        """
        return dispatch(self, query)

    def rebuild(
        self: ActiveDomain,
        projection: type[Any],
        *,
        batch: int = BATCH,
        progress: Callable[[RebuildProgress], None] = _nobody,
    ) -> Rebuilt:
        """Make a projection anew from the log, while it is read and kept up to date as before.

        `batch`: messages of a transaction at most. `progress` is called after each. Raises RebuildError, or
        HistoryRemovedError when the log is not complete; the projection is then as it was.
        """
        if not issubclass(projection, ProjectionElement):
            raise ConfigurationError(f"rebuild() takes a projection, not {projection!r:.80}")
        if batch < 1:
            raise ConfigurationError(f"batch must be at least 1, not {batch}")
        from protean.handle.rebuilding import Rebuilder  # noqa: PLC0415  # done now and then, and not by applications

        return Rebuilder(self, projection, batch=batch, told=progress).run()
