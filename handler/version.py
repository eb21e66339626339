"""The version of this installation. Knows no versions of formats: those are in events/names.py."""

from importlib import metadata


def version() -> str:
    """As packaged; `unknown` for sources that nobody installed."""
    try:
        return metadata.version("jobrelay")
    except metadata.PackageNotFoundError:
        return "unknown"
