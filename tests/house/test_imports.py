"""What an import costs everybody, whether they use it or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: What runs an application's handlers, keeps its data or starts its servers; and, of Python's own, what takes longest.
LATER = [
    "asyncio",
    "concurrent.futures",
    "email",
    "importlib.metadata",
    "protean.adapters",
    "protean.handle.executor",
    "protean.handle.rebuilding",
    "protean.server",
    "redis",
    "socket",
    "sqlalchemy",
    "ssl",
    "subprocess",
]


def test_importing_the_framework_loads_no_engine_no_adapter_and_no_event_loop(tmp_path: Path) -> None:
    source = f"import sys; from protean import Domain; print([name for name in {LATER} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_the_command_without_its_extra_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('nothing of that name', name='typer')")
    done = subprocess.run(
        [sys.executable, "-m", "protean", "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: typer is not installed; pip install 'protean[cli]'\n"
