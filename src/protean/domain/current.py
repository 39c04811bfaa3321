"""The active domain under one name, for code that belongs to whichever domain calls it."""

from __future__ import annotations

from typing import Final, cast

from protean.domain.composition import Domain
from protean.write.context import CurrentDomain

#: Typed as what it stands for, so that `current_domain.repository_for(Customer)` is a repository of customers.
current_domain: Final = cast("Domain", CurrentDomain())
