"""Processes that start, and that have nothing to do."""
