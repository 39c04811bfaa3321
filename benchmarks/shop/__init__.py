"""The domain that is measured: the guide's customers and their loyalty tiers."""
