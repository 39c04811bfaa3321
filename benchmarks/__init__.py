"""What the framework costs, against raw drivers measured in the same run: `python -m benchmarks`."""
