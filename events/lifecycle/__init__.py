"""What is told of a Job, derived from what it shows; start at `transitions`. Imports no request."""
