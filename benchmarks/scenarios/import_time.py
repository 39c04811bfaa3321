"""CPU time of the processes that people start all day: an import of the framework, and help on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figures import Figure, Result, Target

#: As users have it: bytecode is written and found again.
PROCESSES = {
    "pydantic": ["-c", "from pydantic import BaseModel"],
    "from protean import Domain": ["-c", "from protean import Domain"],
    "protean --help": ["-m", "protean.cli", "--help"],
}
TARGETS = {"from protean import Domain": Target("at most", 0.2), "protean --help": Target("at most", 0.3)}


def measure(bench: Bench) -> list[Result]:
    rounds = bench.pick(2, 15)
    took: dict[str, list[float]] = {name: [] for name in PROCESSES}
    with tempfile.TemporaryDirectory(prefix="protean-bytecode-") as bytecode:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        for number in range(rounds + 1):
            for name, arguments in PROCESSES.items():
                seconds = _cpu_seconds(arguments, environment)
                if number:  # the first one compiles
                    took[name].append(seconds)
    floor = median(took["pydantic"])
    figures = [
        Figure(
            name=name,
            value=median(took[name]),
            unit="s",
            floor=floor,
            ratio=median(took[name]) / floor,
            runs=took[name],
            target=target,
        )
        for name, target in TARGETS.items()
    ]
    note = f"{rounds} processes each, in turn: their CPU time from start to end; floor: `{PROCESSES['pydantic'][1]}`"
    return [Result("import_time", figures, [note])]


def _cpu_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    with subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, start_new_session=False
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise AssertionError(f"{arguments} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime
