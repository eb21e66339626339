"""The record of what happened to requests, and their logs: optional, and nothing else depends on it."""
