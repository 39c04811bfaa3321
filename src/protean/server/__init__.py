"""The engine that runs a domain's handlers, its processes and their supervisor."""
