from __future__ import annotations

import pytest

from protean.elements.declarations import Declarations
from protean.elements.registry import Registry


@pytest.fixture
def domain() -> Declarations:
    return Declarations(Registry())
