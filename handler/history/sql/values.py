"""Texts and keys as they are stored. What a database would not take is made harmless here and nowhere else."""

from hashlib import blake2b

import msgspec

from handler.history.base import Key

INDEXED_BYTES = 1000
"""Of a text that an index holds: PostgreSQL takes no more than a third of a page of 8 KiB for all of an entry."""
_FOREIGN = "\ufffd"


def clean(text: str) -> str:
    """Without NUL and lone surrogates: in their place stands U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", _FOREIGN)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(_FOREIGN if "\ud800" <= character <= "\udfff" else character for character in text)
    return text


def maybe_clean(text: str | None) -> str | None:
    return None if text is None else clean(text)


def indexed(text: str) -> str:
    """As it stands in an index: a long one ends with its digest, so that different ones stay different."""
    cleaned = clean(text)
    if len(cleaned) * 4 <= INDEXED_BYTES or len(encoded := cleaned.encode()) <= INDEXED_BYTES:
        return cleaned
    end = blake2b(encoded, digest_size=16).hexdigest()
    return encoded[: INDEXED_BYTES - len(end)].decode(errors="ignore") + end


def digest(key: Key) -> bytes:
    """What tells requests apart, in 16 bytes."""
    return blake2b(msgspec.json.encode([clean(key.id), clean(key.cause), clean(key.source)]), digest_size=16).digest()
