"""Replaces frames that the library cannot decode by frames of the same length that it can. Pure.

Anybody who may publish can send a header, a timestamp or a routing key that raises in the library's reading task. That
would end the connection, and the message would be redelivered for ever.
"""

import pamqp.frame

from adapters.rabbitmq.wire.frames import DELIVER, GET_OK, HEADER, METHOD, RETURN

_WITH_ROUTING_KEY = (RETURN, DELIVER, GET_OK)


def decodable(frame: bytes) -> bytes:
    """The whole frame, or one that can be decoded in its place."""
    kind, payload = frame[0], frame[7:-1]
    suspect = kind == HEADER or (kind == METHOD and payload[:4] in _WITH_ROUTING_KEY and not payload.isascii())
    if not suspect:
        return frame
    try:
        pamqp.frame.unmarshal(frame)
    except Exception:  # noqa: BLE001 - whatever the decoders raise
        return frame[:7] + (_plain(payload) if kind == METHOD else _bare(payload)) + frame[-1:]
    return frame


def _bare(payload: bytes) -> bytes:
    """The content header without its properties."""
    return payload[:12] + bytes(len(payload) - 12)


def _plain(payload: bytes) -> bytes:
    """The method with exchange and routing key made ASCII. Before them come our own tag or the server's own text."""
    at = 4
    if payload[:4] == DELIVER:
        at += 1 + payload[at] + 9
    elif payload[:4] == GET_OK:
        at += 9
    else:
        at += 2
        at += 1 + payload[at]
    end = at
    for _ in range(2):
        end += 1 + payload[end]
    names = payload[at:end]
    lengths = (0, 1 + names[0])
    plain = bytes(byte if byte < 0x80 or index in lengths else 0x3F for index, byte in enumerate(names))
    return payload[:at] + plain + payload[end:]
