"""CloudEvents 1.0, strictly read and written; start at `event`. Knows nothing of jobrelay."""
