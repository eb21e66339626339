"""jobrelay itself: the event→Job→event path, its settings, its processes and its command line."""


def version() -> str:
    """The packaged version; `unknown` if jobrelay runs from sources that are not installed."""
    from importlib import metadata  # a third of what `--help` imports

    try:
        return metadata.version("jobrelay")
    except metadata.PackageNotFoundError:
        return "unknown"
