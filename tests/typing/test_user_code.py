"""What type checkers make of user code: of `right/` nothing, of `wrong/` an error in every marked line and in no other.

A mark has mypy's code and pyright's rule: `# E: arg-type | reportArgumentType`; with nothing where a checker is silent.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]
FILES = sorted((*FOLDER.glob("right/*.py"), *FOLDER.glob("wrong/*.py")))

#: `wrong/reading.py:12`
Line = str


def test_mypy_understands_user_code_and_finds_its_mistakes() -> None:
    checked = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, FILES)]
    finished = subprocess.run(checked, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    found = defaultdict[Line, set[str]](set)
    for path, line, code in re.findall(r"^(.*):(\d+): error: .*\[([a-z-]+)\]$", finished.stdout, re.MULTILINE):
        found[_line(Path(path), line)].add(code)

    assert found, finished.stdout + finished.stderr
    assert unexpected(found, marked(0)) == []


def test_pyright_understands_user_code_and_finds_its_mistakes() -> None:
    checked = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "--project", FOLDER]
    finished = subprocess.run(checked, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    report = json.loads(finished.stdout)

    found = defaultdict[Line, set[str]](set)
    for each in report["generalDiagnostics"]:
        found[_line(Path(each["file"]), each["range"]["start"]["line"] + 1)].add(each["rule"])

    assert report["summary"]["filesAnalyzed"] == len(FILES)
    assert unexpected(found, marked(1)) == []


def unexpected(found: Mapping[Line, set[str]], wanted: Mapping[Line, str]) -> list[str]:
    """What was found where nothing is marked, and marks without the error that they name."""
    return [f"{line}: found {sorted(codes)}" for line, codes in found.items() if line not in wanted] + [
        f"{line}: {code} not found, but {sorted(found.get(line, ()))}"
        for line, code in wanted.items()
        if code not in found.get(line, ())
    ]


def marked(checker: int) -> dict[Line, str]:
    """What that one of the two checkers is to find, by line."""
    wanted: dict[Line, str] = {}
    for file in FILES:
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            codes = line.partition("  # E:")[2].split("|")
            if len(codes) == 2 and codes[checker].strip():
                wanted[_line(file, number)] = codes[checker].strip()
    return wanted


def _line(file: Path, number: int | str) -> Line:
    return f"{file.parent.name}/{file.name}:{number}"
