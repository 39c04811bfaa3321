"""Contract suites: what every adapter of a port has to keep, as test classes to inherit from."""
