"""A request as HTTP/1.1 writes it, and what was read of its answer. Does no I/O."""

from contextlib import suppress
from dataclasses import dataclass

_MOST_MADE = 64


class Unsendable(OSError):
    """The request has a character that HTTP does not allow there: what was meant as one request could become two."""


class ProtocolError(OSError):
    """What came is no answer as HTTP/1.1 writes it, or too much of one."""


@dataclass(slots=True)
class Answer:
    """A whole answer. `fields`: its headers by their names in lower case; of several with one name, the first."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes

    def header(self, name: bytes) -> str:
        """Empty if the answer has none of this name, which is in lower case."""
        return self.fields.get(name, b"").decode("latin-1")

    def headers(self) -> dict[str, str]:
        """All of them, by their names in lower case."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.fields.items()}


class Heads:
    """The headers of requests to one server. Nearly all requests have the same few: each set is made once."""

    def __init__(self, *, host: str, user_agent: str) -> None:
        # Compression would cost the server more than it saves on a cluster's network.
        self._common = {"Host": host, "User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._made: dict[tuple[str, str, str], bytes] = {}

    def fields(self, accept: str, content_type: str, authorization: str) -> bytes:
        """Without the length of the body, and those that are empty. Raises `Unsendable`, which repeats no value."""
        key = (accept, content_type, authorization)
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= _MOST_MADE:
                self._made.clear()  # Tokens of the past.
            own = {"Accept": accept, "Content-Type": content_type, "Authorization": authorization}
            made = self._made[key] = b"".join(_field(*field) for field in {**self._common, **own}.items() if field[1])
        return made


def request(method: str, target: str, fields: bytes, body: bytes | None) -> bytes:
    """`target`: path and query, both quoted; `fields`: of `Heads`. Raises `Unsendable`."""
    if not (target.isascii() and target.isprintable()) or " " in target:
        raise Unsendable("the path has characters that HTTP does not allow in it")
    if body is None and method == "GET":
        return b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode(), fields)
    content = body or b""
    # In one piece: each piece would become a TLS record.
    return b"%b %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (
        method.encode(),
        target.encode(),
        fields,
        len(content),
        content,
    )


def _field(name: str, value: str) -> bytes:
    if value.isprintable():
        with suppress(UnicodeEncodeError):
            return f"{name}: {value}\r\n".encode("latin-1")
    raise Unsendable(f"the value of the header {name} has characters that HTTP does not allow in it")
