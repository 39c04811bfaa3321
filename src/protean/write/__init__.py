"""From a command to one transaction: state, messages and outbox rows, written together or not at all."""
