"""What stands on a Job, as plain data; start at `observed`. Imports no request and no lifecycle."""
