"""Message brokers behind one port. `base` is the port; every other module is one broker (or `memory`, the fake)."""
