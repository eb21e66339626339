"""The JSON API under /api/v1, and the OpenAPI document that describes it."""
