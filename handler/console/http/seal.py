"""Texts that nobody else can have made."""

import hashlib
import hmac
from base64 import urlsafe_b64encode


class Seal:
    """Marks texts with a key (HMAC-SHA256). Whoever has another key cannot make the mark."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, purpose: str, *parts: str) -> str:
        """The mark of these parts, in characters of URLs. Marks of one purpose are of no use for another."""
        # With their lengths: ("a", "bc") is not ("ab", "c").
        told = "".join(f"{len(part)}:{part}," for part in (purpose, *parts))
        digest = hmac.new(self._key, told.encode(errors="surrogatepass"), hashlib.sha256).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def fits(self, mark: str, purpose: str, *parts: str) -> bool:
        """Whether this is their mark; takes as long for every wrong one."""
        return hmac.compare_digest(mark.encode(errors="surrogatepass"), self.of(purpose, *parts).encode())
