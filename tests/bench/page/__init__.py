"""The page of the role `console`: `python -m tests.bench.page`."""
