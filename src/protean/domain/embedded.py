"""The embedded servers of a domain: those that run in the home beside its configuration."""

from __future__ import annotations

from pathlib import Path

from protean.adapters import embedded
from protean.adapters.embedded.record import Server
from protean.domain.connections import HOME


def embedded_servers(root: Path) -> list[Server]:
    """The embedded servers that run in the home under `root`, the folder of a configuration."""
    return embedded.status(root / HOME)


def stop_embedded_servers(root: Path) -> None:
    """End them now. They end by themselves some seconds after the last process that uses them."""
    embedded.stop(root / HOME)
