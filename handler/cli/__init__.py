"""The command line: every command with its arguments and options; start at `main`. What they do: handler.commands."""
