"""The domain itself, so that the server finds it by the name of this module."""

from protean import Domain

shop = Domain("shop")
