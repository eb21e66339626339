"""What changes, sent as it happens (server-sent events)."""
