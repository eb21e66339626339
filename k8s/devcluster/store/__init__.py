"""The objects and their history, on disk, and what happens when they change; start at `store`."""
