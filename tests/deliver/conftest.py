from tests.handle.conftest import bank
from tests.support.stores import stored

__all__ = ["bank", "stored"]
