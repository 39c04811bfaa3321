"""`make mutants`: break the code in every way of the catalogue, one at a time, and see each one noticed.

Names as arguments choose some of them. A run that was interrupted goes on where it was; `--fresh` begins anew.
Ends with 1 if one survives, no longer fits the code, or could not be judged.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from tests.mutants.catalogue import MUTANTS
from tests.mutants.laboratory import ROOT, Mutant, Notebook, Result, complaint, experiment, servers

NOTES = ROOT / ".mutants" / "results.json"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants to try; all of them by default")
    parser.add_argument("--fresh", action="store_true", help="forget what is known from an earlier run")
    options = parser.parse_args(arguments)
    known = {mutant.name for mutant in MUTANTS}
    if unknown := set(options.names) - known:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    notebook = Notebook(NOTES, fresh=options.fresh)
    if not _tried(chosen, notebook):
        return 1
    results = [notebook.results[mutant.name] for mutant in chosen]
    _print_table(chosen, results)
    return 0 if all(result.well for result in results) else 1


def _tried(chosen: Sequence[Mutant], notebook: Notebook) -> bool:
    """Try what is not known yet; False when the tests fail on unbroken code."""
    unknown = [mutant for mutant in chosen if mutant.name not in notebook.results]
    tests = sorted({test for mutant in unknown for test in mutant.tests} - notebook.sound)
    if not unknown:
        return True
    with servers() as environment:
        if tests:
            print(f"first {len(tests)} tests on the code as it is ...", flush=True)
            if complained := complaint(tests, environment):
                print(complained, "mutants: the tests fail although nothing is broken; mend that first", sep="\n")
                return False
            notebook.note(sound=tests)
        for mutant in unknown:
            result, explanation = experiment(mutant, environment)
            notebook.note(result)
            print(f"{result.verdict:9} {mutant.name:34} {result.seconds:5.1f} s", flush=True)
            if explanation:
                print(explanation, flush=True)
    return True


def _print_table(mutants: Sequence[Mutant], results: Sequence[Result]) -> None:
    width = max(len(mutant.name) for mutant in mutants)
    print()
    for mutant, result in zip(mutants, results, strict=True):
        by = result.by.rpartition("/")[2] or result.verdict.upper()
        print(f"{mutant.name:{width}}  {result.seconds:5.1f} s  {mutant.promise}\n{'':{width}}           {by}")
    left = [result.name for result in results if not result.well]
    print(f"\n{len(results) - len(left)} of {len(results)} killed" + (f"; not: {', '.join(left)}" if left else ""))


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, lambda number, _frame: sys.exit(128 + number)
    )  # as for Ctrl-C: nothing is left behind
    sys.exit(main(sys.argv[1:]))
