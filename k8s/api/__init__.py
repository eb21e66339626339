"""Requests to the API server, and its answers; start at `cluster`. Imports no informer, election or manifests."""
