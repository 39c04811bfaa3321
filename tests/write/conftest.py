from tests.handle.conftest import bank, together

__all__ = ["bank", "together"]
