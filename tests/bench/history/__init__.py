"""The record of the history: `python -m tests.bench.history`."""
