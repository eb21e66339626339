"""From a Job to its events, in the leading process only; start at `controller`. Does not import handler.intake."""
