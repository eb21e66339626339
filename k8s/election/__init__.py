"""Which of several processes leads; start at `lease.lead`. Knows no Jobs."""
