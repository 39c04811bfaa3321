"""Adapters without a server: the same promises within one process, gone with it."""
