"""How fast, against bare requests."""
