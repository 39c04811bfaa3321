"""The catalogue of mutants keeps up with the code. Whether they are noticed, `make mutants` tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.mutants.catalogue import MUTANTS
from tests.mutants.laboratory import ROOT, Edit, Mutant, StaleError, broken

PARAMETERS = re.compile(r"\[.*\]$")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code_and_leaves_it_readable(mutant: Mutant) -> None:
    for path, text in broken(mutant).items():
        assert text != (ROOT / path).read_text()
        compile(text, path, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_of_a_mutant_exist(mutant: Mutant) -> None:
    assert mutant.tests
    for node in mutant.tests:
        path, *names = node.split("::")
        known = (ROOT / path).read_text() + "".join(text.read_text() for text in _contracts())
        for name in names:
            assert re.search(rf"^\s*(def|class) {PARAMETERS.sub('', name)}\b", known, re.MULTILINE), node


def test_names_are_names() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_what_no_longer_fits_is_said() -> None:
    stale = Mutant("stale", "none", (Edit("src/protean/clock.py", "nobody wrote this", ""),), ("tests",))
    with pytest.raises(StaleError, match="found 0 times"):
        broken(stale)


def _contracts() -> list[Path]:
    return sorted((ROOT / "src/protean/testing/contracts").glob("*.py"))
