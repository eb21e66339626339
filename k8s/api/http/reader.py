"""From the bytes of a connection to answers, read by llhttp. Does no I/O."""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from k8s.api.http.message import Answer, ProtocolError

MAX_HEAD = 2**16
"""Bytes of an answer before its body, with all 1xx answers that come before it. Kubernetes sends less than 1 KiB."""
MAX_ANSWER = 2**28
"""Bytes of an answer, as sent. A page of a list has 2 MiB, but the first page 50 objects of up to 1.5 MiB each, and
JSON may write these several times as long as the server stores them. What is larger would not fit our memory."""


class Reader:
    """The answers of one connection, one after the other. Its user makes a new one for each connection."""

    def __init__(self) -> None:
        self.reusable = True
        """False: the connection ends with this answer, or more than the answer came."""
        self._parser = HttpResponseParser(self)
        self._whole: Answer | None = None
        self._begin()

    def _begin(self) -> None:
        self._received = 0
        self._head: Answer | None = None
        self._fields: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Part of an answer came."""
        return self._received > 0

    def feed(self, data: bytes) -> Answer | None:
        """The answer, if it ends here. Raises `ProtocolError`."""
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if self._whole is None:
                raise ProtocolError(f"the answer is no HTTP: {error.__context__ or error}") from error
            self.reusable = False  # The answer is well, and followed by what is none.
        if self._whole is not None:
            return self._take()
        if self._received > (MAX_HEAD if self._head is None else MAX_ANSWER):
            raise ProtocolError(f"the answer is too long: {self._received} bytes, and no end of them")
        return None

    def feed_eof(self) -> Answer | None:
        """The answer, if it is one that ends with its connection."""
        self.reusable = False
        head = self._head
        if head is None or not head.fields.keys().isdisjoint((b"content-length", b"transfer-encoding")):
            return None
        self._end(head)
        return self._take()

    def _take(self) -> Answer | None:
        whole, self._whole = self._whole, None
        self._begin()
        return whole

    def _end(self, head: Answer) -> None:
        head.body = b"".join(self._pieces)
        self._whole = head

    # What llhttp calls. What these raise ends its reading: `feed` gets an error whose context it is.

    def on_message_begin(self) -> None:
        if self._whole is not None:
            raise ProtocolError("more than the answer came")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.setdefault(name.lower(), value.rstrip())

    def on_headers_complete(self) -> None:
        status, fields = self._parser.get_status_code(), self._fields
        self._fields = {}  # What comes after the body is not looked at.
        if status < 200:
            if status < 100 or status == 101:
                raise ProtocolError(f"unexpected status {status}")
            return  # 100 Continue and the like come before the answer.
        if fields.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise ProtocolError("a transfer coding other than chunked")
        if fields.get(b"content-encoding", b"identity").lower() != b"identity":
            raise ProtocolError("a content coding, which was not asked for")
        self._head = Answer(status, fields, b"")

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._head is not None:
            self.reusable = self._parser.should_keep_alive()
            self._end(self._head)
