"""jobrelay itself: the event→Job→event path, its settings, its processes and its command line."""

from importlib import metadata


def version() -> str:
    """The packaged version; `unknown` if jobrelay runs from sources that are not installed."""
    try:
        return metadata.version("jobrelay")
    except metadata.PackageNotFoundError:
        return "unknown"
