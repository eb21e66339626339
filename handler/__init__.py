"""jobrelay itself: the event→Job→event path, its settings, its processes and its command line."""

from importlib import metadata


def version() -> str:
    """As packaged; `unknown` for sources that nobody installed."""
    try:
        return metadata.version("jobrelay")
    except metadata.PackageNotFoundError:
        return "unknown"
