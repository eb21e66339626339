"""What the commands of `jobrelay` do. How they are spelled is in handler.cli.main."""
