"""Messages as bytes, in the format of server-sent events."""

from collections.abc import Sequence

from handler.console.live.places import Place

HEADERS = {
    "Content-Type": "text/event-stream",
    # nginx would collect what is to be seen at once.
    "X-Accel-Buffering": "no",
}


def message(event: str, data: bytes, at: Place | str | None = None) -> bytes:
    """`data`: JSON without line ends. `at`: from where a stream that breaks after this message goes on."""
    place = b"" if at is None else f"id: {at}\n".encode()
    return b"%sevent: %s\ndata: %s\n\n" % (place, event.encode(), data)


def comment(at: Place | str | None = None) -> bytes:
    """What nobody sees. Proxies and clients learn from it that the stream lives, and where it is by now."""
    return b":\n\n" if at is None else f": \nid: {at}\n\n".encode()


def array(items: Sequence[bytes]) -> bytes:
    """A JSON array of these documents."""
    return b"[%s]" % b",".join(items)


def resync(at: Place) -> bytes:
    """What was missed cannot be told any more: load the page anew. The stream goes on from there."""
    return message("resync", b"{}", at)


END = message("end", b"{}")
"""There will be no more: do not connect again."""
