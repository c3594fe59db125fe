"""Which models each tool converts, and whether the result is the model: `python -m benchmarks.coverage`, docs/coverage.md."""
