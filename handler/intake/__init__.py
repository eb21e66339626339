"""From an event to its Job; start at `intake`. Does not import handler.controller."""
