"""Real broker servers on this machine, for the demo and the tests. No adapter imports them."""
