"""Adapters that other installed packages bring, by the name that a configuration calls them.

A package names them in its entry points, `protean.databases` or `protean.brokers`. They are looked up when a provider
is named that is none of our own, and imported when something is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protean.config.uri import masked
from protean.exceptions import ConfigurationError
from protean.suggestion import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: The groups of entry points.
DATABASES: Final = "protean.databases"
BROKERS: Final = "protean.brokers"


def installed(group: str) -> dict[str, list[EntryPoint]]:
    """The entry points of a group by name; several with one name where packages compete for it."""
    from importlib.metadata import entry_points  # noqa: PLC0415  # 20 ms, for those who have such a package

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        same = found.setdefault(point.name, [])
        if all((other.value, package_of(other)) != (point.value, package_of(point)) for other in same):
            same.append(point)  # one that is found twice, along two paths, is one
    return found


def entry_point(name: str, group: str) -> EntryPoint:
    """The one of that name. Raises ConfigurationError when packages compete for it, or none has it."""
    points = installed(group).get(name, [])
    if len(points) == 1:
        return points[0]
    if points:
        raise ConfigurationError(
            f'provider "{name}" is brought by several packages ({", ".join(map(package_of, points))}); uninstall all '
            "but one"
        )
    raise ConfigurationError(unknown(name, group, ()))


def unknown(name: str, group: str, own: tuple[str, ...]) -> str:
    """What to say of a provider that nobody brings; `own` are those that come with protean."""
    others = [f"{other} ({', '.join(map(package_of, points))})" for other, points in sorted(installed(group).items())]
    there = ", ".join([*own, *others]) or "none"
    return (
        f'there is no provider "{masked(name)}"{did_you_mean(name, own)}; there are: {there}. Others come with '
        f"packages that have an entry point in `{group}`"
    )


def package_of(point: EntryPoint) -> str:
    """`mydb-protean 1.2`, the distribution that an entry point belongs to."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
