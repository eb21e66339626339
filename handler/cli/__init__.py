"""How commands are spelled; start at `main`. What they do is in handler.commands."""
