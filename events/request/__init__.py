"""What may be asked for: requests, their Jobs, the rules, control events. Start at `request`. Imports no lifecycle."""
