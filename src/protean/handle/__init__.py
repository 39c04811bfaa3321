"""From a delivery to an outcome: decode, decide by position, run the handler, commit."""
