"""Answers as servers write them, and what is none. Each is all that a server says before it ends the connection."""

from dataclasses import dataclass

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class Said:
    """`kept`: the connection could be used again, had the server not ended it."""

    name: str
    bytes: bytes
    kept: bool = True


WELL = [
    Said(name="length", bytes=OK + b"Content-Length: 5\r\n\r\nhello"),
    Said(name="no body", bytes=OK + b"Content-Length: 0\r\n\r\n"),
    Said(name="chunked", bytes=CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
    Said(name="chunked, nothing in it", bytes=CHUNKED + b"0\r\n\r\n"),
    Said(name="chunked, in capitals", bytes=OK + b"TRANSFER-ENCODING: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    Said(name="chunk extension", bytes=CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n'),
    Said(name="trailers", bytes=CHUNKED + b"5\r\nhello\r\n0\r\nX-A: b\r\nDate: never\r\n\r\n"),
    Said(name="chunk that looks like the end", bytes=CHUNKED + b"9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n"),
    Said(name="header without a value", bytes=OK + b"X-A:\r\nX-B: \r\nContent-Length: 1\r\n\r\na"),
    Said(name="header twice", bytes=OK + b"Retry-After: 1\r\nretry-after: 2\r\nContent-Length: 0\r\n\r\n"),
    Said(name="header of other letters", bytes=OK + b"X-A: \xc3\xa9\xff\r\nContent-Length: 0\r\n\r\n"),
    Said(name="spaces around a value", bytes=OK + b"X-A: \t a b \t\r\nContent-Length: 0\r\n\r\n"),
    Said(name="no reason", bytes=b"HTTP/1.1 429 \r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
    Said(name="no reason, no space", bytes=b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na"),
    Said(name="204", bytes=b"HTTP/1.1 204 No Content\r\n\r\n"),
    Said(name="304", bytes=b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n"),
    Said(name="continue", bytes=b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na"),
    Said(
        name="early hints",
        bytes=b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        + CHUNKED
        + b"1\r\na\r\n0\r\n\r\n",
    ),
    Said(name="close", bytes=OK + b"Connection: close\r\nContent-Length: 1\r\n\r\na", kept=False),
    Said(name="keep-alive", bytes=OK + b"Connection: Keep-Alive\r\nContent-Length: 1\r\n\r\na"),
    Said(name="until its end", bytes=OK + b"\r\nhello", kept=False),
    Said(name="until its end, nothing", bytes=OK + b"\r\n", kept=False),
    Said(name="1.0", bytes=b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", kept=False),
    Said(name="1.0 until its end", bytes=b"HTTP/1.0 200 OK\r\n\r\nhello", kept=False),
    Said(name="1.0 keep-alive", bytes=b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na"),
    Said(name="two answers", bytes=(OK + b"Content-Length: 1\r\n\r\na") * 2, kept=False),
    Said(name="upgrade offered", bytes=OK + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na"),
]
"""Both aiohttp and we take these, and read the same."""

STRICTER = [
    Said(name="lines end without CR", bytes=b"HTTP/1.1 200 OK\nContent-Length: 1\n\na"),
    Said(name="space after a chunk's length", bytes=CHUNKED + b"1 \r\na\r\n0\r\n\r\n"),
    Said(name="a value goes on in the next line", bytes=OK + b"X-A: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    Said(name="coding other than chunked", bytes=OK + b"Transfer-Encoding: gzip\r\n\r\nhello"),
    Said(name="compressed, unasked", bytes=OK + b"Content-Encoding: deflate\r\nContent-Length: 0\r\n\r\n"),
    Said(name="switched protocols", bytes=b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello"),
    Said(name="switched protocols, to none", bytes=b"HTTP/1.1 101 X\r\n\r\n"),
    Said(name="status below 100", bytes=b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n"),
]
"""aiohttp takes these, we do not: neither the API server nor a proxy before it writes such."""

LOOSER = [
    Said(name="garbage after it", bytes=OK + b"Content-Length: 1\r\n\r\naXX", kept=False),
    Said(name="garbage after chunks", bytes=CHUNKED + b"0\r\n\r\nXX", kept=False),
    Said(name="body of a 204", bytes=b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", kept=False),
]
"""We take the answer, and use the connection no more. What aiohttp does depends on how the bytes arrive."""

BROKEN = [
    Said(name="nothing", bytes=b""),
    Said(name="no HTTP", bytes=b"hello\r\n\r\n"),
    Said(name="TLS", bytes=b"\x15\x03\x01\x00\x02\x02F"),
    Said(name="half a head", bytes=OK + b"Content-Le"),
    Said(name="half a body", bytes=OK + b"Content-Length: 5\r\n\r\nhell"),
    Said(name="half a chunk", bytes=CHUNKED + b"5\r\nhell"),
    Said(name="no last chunk", bytes=CHUNKED + b"5\r\nhello\r\n"),
    Said(name="no end of the trailers", bytes=CHUNKED + b"0\r\nX-A: b\r\n"),
    Said(name="only a continue", bytes=b"HTTP/1.1 100 Continue\r\n\r\n"),
    Said(name="length and chunks", bytes=OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Said(name="chunks and length", bytes=OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    Said(name="two lengths", bytes=OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na"),
    Said(name="length below 0", bytes=OK + b"Content-Length: -1\r\n\r\n"),
    Said(name="length that is no number", bytes=OK + b"Content-Length: x\r\n\r\n"),
    Said(name="length of 30 digits", bytes=OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\na"),
    Said(name="chunk's length is no number", bytes=CHUNKED + b"x\r\na\r\n0\r\n\r\n"),
    Said(name="chunk's length below 0", bytes=CHUNKED + b"-1\r\na\r\n0\r\n\r\n"),
    Said(name="chunk longer than it says", bytes=CHUNKED + b"1\r\naX\r\n0\r\n\r\n"),
    Said(name="chunk of 30 digits", bytes=CHUNKED + b"f" * 30 + b"\r\na"),
    Said(name="status of two digits", bytes=b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    Said(name="status of four digits", bytes=b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    Said(name="version", bytes=b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"),
    Said(name="NUL in a value", bytes=OK + b"X-A: a\x00b\r\nContent-Length: 0\r\n\r\n"),
    Said(name="space before the colon", bytes=OK + b"X-A : a\r\nContent-Length: 0\r\n\r\n"),
]
"""Neither takes these."""
