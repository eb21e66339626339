"""The objects and their history, on disk, and what is decided when they change; start at `store`."""
