"""Decides which of several processes leads; start at `lease.lead`. Knows nothing of Jobs."""
