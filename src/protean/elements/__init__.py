"""What users declare: aggregates, commands, events, projections and what handles them. Pure; no I/O."""
