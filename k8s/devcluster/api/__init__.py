"""What the API server of the development cluster answers; start at `api`. Imports no controller."""
