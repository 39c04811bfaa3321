"""What a type checker makes of declarations."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SAMPLE = Path(__file__).with_name("sample.py")
REPOSITORY = Path(__file__).parents[2]


def test_mypy_understands_user_code_and_finds_its_mistakes() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(SAMPLE)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = re.findall(r"sample\.py:(\d+): error: .*\[([a-z-]+)\]$", finished.stdout, re.MULTILINE)
    expected = [
        (str(number), line.partition("# E: ")[2])
        for number, line in enumerate(SAMPLE.read_text().splitlines(), start=1)
        if "# E: " in line
    ]
    assert errors == expected, finished.stdout + finished.stderr
