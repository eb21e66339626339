"""The revisions of the schema. Imports nothing."""

REVISIONS = ("1", "2", "3")
"""The oldest first: those that migrations/ knows."""
