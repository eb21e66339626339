"""The settings, and the connections they mean; start at `settings.Settings.from_env`. Imports nothing above it."""
