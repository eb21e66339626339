"""The API server of the development cluster; start at `api`. Imports no controllers."""
