"""Bytes as people read them: sixteen in a line, in hexadecimal digits and as far as they are letters."""

WIDTH = 16


def hexdump(body: bytes) -> str:
    """`00000010  7b 22 69 64 22 3a …  {"id":…`, a line for sixteen bytes."""
    return "\n".join(_line(place, body[place : place + WIDTH]) for place in range(0, len(body), WIDTH))


def _line(place: int, part: bytes) -> str:
    letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
    return f"{place:08x}  {part.hex(' '):<{3 * WIDTH - 1}}  {letters}"
