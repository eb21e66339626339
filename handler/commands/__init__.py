"""What the commands of `jobrelay` do. Their options are in handler.cli."""
