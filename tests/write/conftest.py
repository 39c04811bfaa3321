from tests.handle.conftest import bank

__all__ = ["bank"]
