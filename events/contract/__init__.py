"""What is published for clients: codes, data, JSON Schema, reference page. Start at `schema`.

Nothing else in events imports it.
"""
