"""What pytest offers where protean is installed: fixtures, for which a suite that does not ask for them pays nothing.

It is a package of its own, because importing anything of protean imports all of it, and pytest imports its plugins at
every start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from protean import Domain
    from protean.testing import Clock

# The contract suites are tests that somebody else inherits; their assertions tell values as his own do.
pytest.register_assert_rewrite("protean.testing.contracts")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Called by pytest at its start."""
    where = "where the domain is: a module, a file or a folder, or module:attribute, as for `protean server --domain`"
    parser.addini("protean_domain", where, default="")
    parser.getgroup("protean").addoption("--protean-domain", metavar="PATH", help=f"{where}; instead of protean_domain")


@pytest.fixture(scope="session")
def protean_application(pytestconfig: pytest.Config) -> Domain:
    """The domain that `protean_domain` of the configuration names, initialised, as configured.

    Define a fixture of this name to make one in another way.
    """
    path = pytestconfig.getoption("--protean-domain") or pytestconfig.getini("protean_domain")
    if not path:
        raise pytest.UsageError(
            "no domain to test: set protean_domain in pytest's configuration (`protean_domain = my_app.domain`), or "
            "define a fixture `protean_application` that returns one"
        )
    from protean.server.loading import load_domain  # noqa: PLC0415 - only who asks for the fixture pays for protean

    domain = load_domain(str(path))
    domain.init()
    return domain


@pytest.fixture
def protean_domain(protean_application: Domain) -> Iterator[Domain]:
    """The domain for one test: in memory, empty, active. What the test declares in it is gone afterwards."""
    from protean.testing import in_memory  # noqa: PLC0415 - as above

    with in_memory(protean_application) as domain:
        yield domain


@pytest.fixture
def protean_clock() -> Iterator[Clock]:
    """A clock that stands still until the test moves it."""
    from protean.testing import stopped_clock  # noqa: PLC0415 - as above

    with stopped_clock() as clock:
        yield clock
