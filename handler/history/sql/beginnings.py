"""Where texts that begin alike end. Imports nothing."""

LAST = "\U0010ffff"
"""Sorts after every text that begins like the one it is appended to."""
