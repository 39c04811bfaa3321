"""Breaking a copy of the code on purpose, and looking whether a test notices.

A mutant is one mistake that somebody might make, as a change of text, together with the tests that must notice it.
The working tree is never touched: each mutant gets a copy of its own. Before the first one the same tests run on
an unbroken copy, for a test that fails anyway proves nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What a test run needs of the project.
FOLDERS = ("src", "tests", "examples", "docs")
FILES = ("pyproject.toml", "README.md", "CHANGELOG.md")
#: Seconds that the tests of one mutant may take, and those of one that is expected to show by hanging.
TIME, TIME_OF_HANGING = 150.0, 45.0
#: The end of a test's output that is kept when it surprises.
TAIL = 2_000

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class StaleError(Exception):
    """The code has changed and a mutant no longer fits it, or its tests are gone: mend the catalogue."""


@dataclass(frozen=True)
class Edit:
    """`old`, which must occur exactly once in the file, becomes `new`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """`tests` are pytest's node ids. `hangs`: it may show in a test that does not end."""

    name: str
    promise: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    hangs: bool = False


@dataclass(frozen=True)
class Result:
    """`by` is the test that failed; `verdict` one of killed, survived, stale, unclear."""

    name: str
    verdict: str
    by: str
    seconds: float

    @property
    def well(self) -> bool:
        return self.verdict == "killed"


class Notebook:
    """What is known about the present state of code and tests; a run that was interrupted goes on from here."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self._path = path
        self._digest = _digest()
        known = json.loads(path.read_text()) if path.exists() and not fresh else {}
        if known.get("digest") != self._digest:
            known = {}
        self.sound: set[str] = set(known.get("sound", []))
        self.results = {name: Result(**result) for name, result in known.get("results", {}).items()}

    def note(self, *results: Result, sound: Sequence[str] = ()) -> None:
        self.sound.update(sound)
        self.results.update({result.name: result for result in results})
        self._path.parent.mkdir(exist_ok=True)
        written = {
            "digest": self._digest,
            "sound": sorted(self.sound),
            "results": {name: asdict(result) for name, result in self.results.items()},
        }
        self._path.write_text(json.dumps(written, indent=1))


@contextmanager
def servers() -> Iterator[Mapping[str, str]]:
    """A PostgreSQL and a broker for all test runs, by the variables that name them. Each start would cost seconds."""
    from protean.adapters.embedded import postgresql, stop, valkey

    given = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL") if name in os.environ}
    folder = Path(tempfile.mkdtemp(prefix="protean-mutants-"))
    folder.chmod(0o755)  # the account that servers run under looks in
    home = folder / ".protean"
    try:
        yield {
            "DATABASE_URL": given.get("DATABASE_URL") or postgresql(home).uri,
            "REDIS_URL": given.get("REDIS_URL") or valkey(home).uri,
        }
    finally:
        stop(home)
        shutil.rmtree(folder)


def broken(mutant: Mutant) -> dict[str, str]:
    """The mutant's files, by path, as they read with its edits. Raises StaleError."""
    texts: dict[str, str] = {}
    for edit in mutant.edits:
        path = ROOT / edit.path
        if not path.exists():
            raise StaleError(f"{mutant.name}: there is no {edit.path}")
        text = texts.get(edit.path) or path.read_text()
        if (found := text.count(edit.old)) != 1:
            raise StaleError(f"{mutant.name}: found {found} times instead of once in {edit.path}:\n{edit.old}")
        texts[edit.path] = text.replace(edit.old, edit.new)
    return texts


def experiment(mutant: Mutant, environment: Mapping[str, str]) -> tuple[Result, str]:
    """Run the mutant's tests against it; the result, and the end of their output if it is not as it should be."""
    began = time.monotonic()
    try:
        allowed = TIME_OF_HANGING if mutant.hangs else TIME
        code, output = _run(broken(mutant), mutant.tests, environment, allowed)
    except StaleError as error:
        return Result(mutant.name, "stale", "", 0.0), str(error)
    except subprocess.TimeoutExpired:
        seconds = time.monotonic() - began
        if mutant.hangs:
            return Result(mutant.name, "killed", "it hangs", seconds), ""
        return Result(mutant.name, "unclear", "", seconds), f"{mutant.name}: no answer within {TIME:.0f} s"
    seconds = time.monotonic() - began
    failed = _FAILED.search(output)
    if code == 1 and failed:
        return Result(mutant.name, "killed", failed[1], seconds), ""
    verdict = {0: "survived", 4: "stale", 5: "stale"}.get(code, "unclear")
    return Result(mutant.name, verdict, "", seconds), f"{mutant.name}: pytest ended with {code}\n{output[-TAIL:]}"


def complaint(tests: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run the tests on an unbroken copy; the end of their output unless all of them pass."""
    try:
        code, output = _run({}, tests, environment, TIME * max(len(tests), 1))
    except subprocess.TimeoutExpired:
        return "the tests do not end although nothing is broken"
    return output[-TAIL:] if code else ""


def _run(
    texts: Mapping[str, str], tests: Sequence[str], environment: Mapping[str, str], seconds: float
) -> tuple[int, str]:
    """Run tests in a copy with some files changed; pytest's exit code and output."""
    folder = Path(tempfile.mkdtemp(prefix="protean-mutant-"))
    folder.chmod(0o755)
    try:
        _copy(folder)
        for path, text in texts.items():
            (folder / path).write_text(text)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "", "-p", "no:cacheprovider", "--tb=short", *tests]
        surroundings = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**surroundings, **environment, "PYTHONPATH": str(folder / "src"), "MODELS_SHORTEN": "no"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return process.returncode, output
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(folder: Path) -> None:
    leave_out = shutil.ignore_patterns("__pycache__", ".protean", ".hypothesis", "*.pyc")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=leave_out)
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)


def _digest() -> str:
    """Of everything a result depends on: the code, and the tests with the catalogue among them."""
    digest = hashlib.sha256()
    for folder in ("src", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
