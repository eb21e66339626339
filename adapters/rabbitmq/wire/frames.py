"""Frames of AMQP 0.9.1 as bytes: what they are called, and those that we write. Pure.

A frame is its kind, channel and size, a payload of that size, and an end mark (section 4.2.3 of the specification). The
payload of a method begins with its class and number.
"""

import struct

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
"""Kinds of frames."""
HEAD = struct.Struct(">BHI")
"""Kind, channel, and size of the payload."""
END = 0xCE
_END = bytes([END])
OVERHEAD = HEAD.size + 1
"""Bytes of a frame beside its payload."""

CLOSE_CONNECTION, BLOCKED, UNBLOCKED = b"\x00\x0a\x00\x32", b"\x00\x0a\x00\x3c", b"\x00\x0a\x00\x3d"
CLOSE_CHANNEL, CLOSE_CHANNEL_OK = b"\x00\x14\x00\x28", b"\x00\x14\x00\x29"
RETURN, DELIVER, GET_OK = b"\x00\x3c\x00\x32", b"\x00\x3c\x00\x3c", b"\x00\x3c\x00\x47"
ACK, NACK = b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x78"
_PUBLISH = b"\x00\x3c\x00\x28\x00\x00"
_MANDATORY = b"\x01"
_BASIC = 60
_ACK, _REJECT, _NACK = 0x003C0050, 0x003C005A, 0x003C0078
_REQUEUE, _REQUEUE_OF_NACK = 1, 2
_SETTLEMENT = struct.Struct(">BHIIQBB")
_SETTLEMENT_SIZE = 13
_CONTENT = struct.Struct(">HHQ")


def ack(channel: int, tag: int) -> bytes:
    """Acknowledges one delivery."""
    return _SETTLEMENT.pack(METHOD, channel, _SETTLEMENT_SIZE, _ACK, tag, 0, END)


def reject(channel: int, tag: int) -> bytes:
    """Gives one delivery back. Quorum queues count that."""
    return _SETTLEMENT.pack(METHOD, channel, _SETTLEMENT_SIZE, _REJECT, tag, _REQUEUE, END)


def nack(channel: int, tag: int) -> bytes:
    """Gives one delivery back. RabbitMQ from 4.3 on does not count that."""
    return _SETTLEMENT.pack(METHOD, channel, _SETTLEMENT_SIZE, _NACK, tag, _REQUEUE_OF_NACK, END)


def publish(channel: int, exchange: str, key: str, properties: bytes, body: bytes, *, largest: int) -> bytes:
    """A mandatory publish: method, content header, and the body in frames of at most `largest` bytes of payload.

    Raises `ValueError` for an exchange or a key of over 255 bytes.
    """
    to, by = exchange.encode(), key.encode()
    method = b"%b%b%b%b%b%b" % (_PUBLISH, bytes((len(to),)), to, bytes((len(by),)), by, _MANDATORY)
    header = _CONTENT.pack(_BASIC, 0, len(body)) + properties
    parts = [*_frame(METHOD, channel, method), *_frame(HEADER, channel, header)]
    for at in range(0, len(body), largest):
        parts += _frame(BODY, channel, body[at : at + largest])
    return b"".join(parts)


def _frame(kind: int, channel: int, payload: bytes) -> tuple[bytes, bytes, bytes]:
    return HEAD.pack(kind, channel, len(payload)), payload, _END
