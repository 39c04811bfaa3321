"""Where a demo takes place: a copy of the example application in a temporary folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from protean.domain.connections import HOME
from protean.domain.embedded import stop_embedded_servers
from protean.exceptions import ConfigurationError

#: What a developer's own run of the example leaves in its folder.
LEFTOVERS = shutil.ignore_patterns(".*", "__pycache__")
#: What would lead the example to other servers than its own, or to another configuration.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "PROTEAN_ENV")


def example_folder() -> Path:
    """The example application: in the installed package, or beside it in a checkout."""
    package = Path(str(files("protean")))
    places = [package / "examples" / "my_app", package.parents[1] / "examples" / "my_app"]
    for place in places:
        if (place / "domain.toml").exists():
            return place
    raise ConfigurationError(f"the example application is neither in {places[0]} nor in {places[1]}; reinstall protean")


@contextmanager
def workspace(*, keep: bool) -> Iterator[Path]:
    """A fresh copy of the example; with its servers ended, and unless `keep` deleted, afterwards."""
    for name in FOREIGN:
        os.environ.pop(name, None)
    folder = Path(tempfile.mkdtemp(prefix="protean-demo-", dir=_short_folder()))
    try:
        folder.chmod(0o755)  # run as root, the servers have an account of their own, which must be able to enter
        shutil.copytree(example_folder(), folder, ignore=LEFTOVERS, dirs_exist_ok=True)
        logs_folder(folder).mkdir()
        yield folder
    finally:
        _stop_servers(folder)
        if not keep:
            shutil.rmtree(folder)


def logs_folder(folder: Path) -> Path:
    return folder / "logs"


def _short_folder() -> str:
    """Unix sockets have short paths, and macOS long temporary folders."""
    return "/tmp" if os.access("/tmp", os.W_OK) else tempfile.gettempdir()  # noqa: S108  # mkdtemp makes ours private


def _stop_servers(folder: Path) -> None:
    """End the embedded servers now, rather than some seconds after this process."""
    if (folder / HOME).exists():
        stop_embedded_servers(folder)
