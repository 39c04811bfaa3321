"""One family of scenarios in a process of its own: `python -m benchmarks.scenario [--quick] NAME...`.

A fresh process each: none inherits another's memory, caches or connections, and none can hold up the rest. Its
results go to standard output as JSON, what it has to say meanwhile to standard error.
"""

from __future__ import annotations

import importlib
import json
import sys

from benchmarks.bench import Bench, interruptible
from benchmarks.figures import Result
from benchmarks.shop.domain import shop


def main(arguments: list[str]) -> int:
    bench = Bench(quick="--quick" in arguments)
    names = [argument for argument in arguments if argument != "--quick"]
    interruptible()
    shop.init()
    try:
        results = _measured(bench, names)
    except KeyboardInterrupt:
        return 130
    finally:
        shop.close()
    json.dump({result.scenario: result.to_json() for result in results}, sys.stdout)
    return 0


def _measured(bench: Bench, names: list[str]) -> list[Result]:
    modules = {name: importlib.import_module(f"benchmarks.scenarios.{name}") for name in names}
    if not names[0].startswith("latency_"):
        return [result for module in modules.values() for result in module.measure(bench)]
    from benchmarks.latency import rounds  # noqa: PLC0415  # only where it is needed: it is memory elsewhere

    idle = importlib.import_module(f"benchmarks.scenarios.{rounds.IDLE}")
    conditions = {rounds.IDLE: idle.CONDITION} | {name: module.CONDITION for name, module in modules.items()}
    return rounds.measure(bench, conditions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
