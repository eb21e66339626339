"""All settings, and the broker and cluster that they name; start at `settings.Settings.from_env`."""
