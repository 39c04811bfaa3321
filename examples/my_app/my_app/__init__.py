"""The guide's application: customers, their loyalty tiers, and an HTTP API on top."""
