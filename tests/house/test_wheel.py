"""What those who install the package get: everything it needs, and nothing of the workshop."""

from __future__ import annotations

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
#: Files beside the modules without which something does not work, one of each kind.
NEEDED = {
    "protean/py.typed",
    "pytest_protean/py.typed",
    "protean/cli/scaffold/README.md.tmpl",
    "protean/examples/my_app/domain.toml",
    "protean/server/observatory/static/observatory.css",
    "protean/server/observatory/templates/layout.html",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (found,) = folder.glob("protean-*-py3-none-any.whl")
    return ZipFile(found)


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel: ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/protean", "src/pytest_protean"]
    ours = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()

    assert names >= NEEDED
    assert {name for name in names if not name.startswith("protean/examples/")} == {
        file.removeprefix("src/") for file in ours
    }
    assert not [name for name in names if "/.protean/" in name or "__pycache__" in name]


def test_the_wheel_brings_the_command_and_the_plugin(wheel: ZipFile) -> None:
    (entry_points,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    told = ConfigParser()
    told.read_string(wheel.read(entry_points).decode())

    assert told["console_scripts"]["protean"] == "protean.cli.main:main"
    assert set(told["pytest11"].values()) == {"pytest_protean"}
