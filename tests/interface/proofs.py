"""Which tests prove which names, and on which databases: asked of pytest's own collection."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: The databases of the table, in its order, and what tests call them.
DATABASES = {"memory": "memory", "sqlite": "SQLite", "sqlite-file": "SQLite", "postgresql": "PostgreSQL"}
ALL = ("memory", "SQLite", "PostgreSQL")


@dataclass
class Collector:
    """A plugin: `found` maps names to tests (`tests/a.py::test_b`), and these to the databases they run on."""

    found: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            test = item.nodeid.partition("[")[0]
            for mark in item.iter_markers("proves"):
                for name in mark.args:
                    self.found.setdefault(name, {}).setdefault(test, set()).update(databases_of(item))


def databases_of(item: pytest.Item) -> set[str]:
    """The databases that one test runs on: by its parameters, else by what its fixtures ask for."""
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params.values() if callspec is not None else ()
    named = {DATABASES[each] for each in parameters if isinstance(each, str) and each in DATABASES}
    if named:
        return named
    return {"PostgreSQL"} if "database_url" in getattr(item, "fixturenames", ()) else set()


def collected() -> dict[str, dict[str, set[str]]]:
    """Name by name, its tests. Only files with the mark are imported, and nothing is run."""
    files = [
        str(file)
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if re.search(r"mark\.proves\(", file.read_text())
    ]
    collector = Collector()
    code = pytest.main(
        ["--collect-only", "--quiet", "--no-header", "-p", "no:cacheprovider", *files],
        plugins=[collector],
    )
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests that prove names could not be collected: {code!r}")
    return collector.found
