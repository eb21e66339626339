"""What is told about a Job, derived from what it shows; start at `transitions`. Imports no request."""
