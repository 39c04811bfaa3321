"""All mutants, in the order of the data path."""

from __future__ import annotations

from tests.mutants import delivering, handling, modelling, publishing, recovering
from tests.mutants.laboratory import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *publishing.MUTANTS,
    *delivering.MUTANTS,
    *handling.MUTANTS,
    *recovering.MUTANTS,
    *modelling.MUTANTS,
)
