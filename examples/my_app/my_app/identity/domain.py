"""The identity domain: who our customers are."""

from protean import Domain

identity = Domain("identity")
