from tests.support.stores import stored

__all__ = ["stored"]
