"""The role `console`: keeps the history of what happened; start at `console`."""
