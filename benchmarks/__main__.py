"""`python -m benchmarks`: ours against raw drivers, in the same run, on servers of its own.

    python -m benchmarks                      everything, about a quarter of an hour
    python -m benchmarks --quick              everything, small: whether it works, not how fast it is
    python -m benchmarks --only relay drain   some of it

Ends with 1 when a scenario failed or a promise of correctness broke; a missed speed is told, not punished.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from benchmarks import machine, report
from benchmarks.bench import ROOT, interruptible
from benchmarks.figures import Result
from benchmarks.scenarios import LONG, NAMES, families
from benchmarks.servers import Servers, servers

LATEST = Path(__file__).parent / "results" / "latest.json"
#: Seconds after which a family of scenarios is given up: quick, full.
BOUNDS = (90.0, 1800.0)
#: Seconds that one which was told to end is given, to end its servers.
GRACE = 45.0


def main() -> int:
    options = _options()
    interruptible()
    began = time.monotonic()
    results: list[Result] = []
    failed: list[str] = []
    try:
        with servers() as available:
            facts = {**machine.facts(), **available.facts()}
            for family, names in families(options.only).items():
                print(f"{family} ...", file=sys.stderr, flush=True)
                begun = time.monotonic()
                found = _run(available, names, quick=options.quick)
                print(f"  {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
                results += found
                failed += [] if found else names
            facts["load_after"] = round(os.getloadavg()[0], 2)
    except KeyboardInterrupt:
        print("\nstopped; nothing is left running", file=sys.stderr)
        return 130
    print(f"\n{report.table(results)}\n\n{report.notes(results)}")
    print(f"\n{time.monotonic() - began:.0f} s; {', '.join(f'{key} {value}' for key, value in facts.items())}")
    if options.quick:
        print("--quick: too few samples for conclusions")
    report.write(options.json, results, facts, quick=options.quick)
    broken = [f"{result.scenario}: {figure.name}" for result in results for figure in result.figures if figure.broken]
    for name in (*(f"{name}: failed" for name in failed), *(f"{promise} is not 0" for promise in broken)):
        print(name, file=sys.stderr)
    return 1 if failed or broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ours against raw drivers.")
    parser.add_argument("--quick", action="store_true", help="under a minute: whether it works, not how fast it is")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", type=Path, default=LATEST, metavar="PATH", help="where the figures are written")
    options = parser.parse_args()
    options.only = options.only or [name for name in NAMES if not (options.quick and name in LONG)]
    return options


def _run(available: Servers, names: list[str], *, quick: bool) -> list[Result]:
    """The results of one family; none if it failed, which it has then said itself."""
    command = [sys.executable, "-m", "benchmarks.scenario", *(["--quick"] if quick else []), *names]
    with available.room() as environment:
        # A session of its own: Ctrl-C comes to us, and we end what it has started, in order.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=BOUNDS[0] if quick else BOUNDS[1])
        except subprocess.TimeoutExpired:
            print(f"{', '.join(names)}: not done in time, given up", file=sys.stderr)
            return []
        finally:
            _end(process)
    if process.returncode:
        return []
    read: Mapping[str, dict[str, object]] = json.loads(output)
    return [Result.from_json(name, result) for name, result in read.items()]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the scenario and all it has started: kindly, then by force."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            print("it does not end; killing it", file=sys.stderr)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # whoever is left of its session
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
