"""How certificates of servers are checked: on every Python alike."""

import ssl
from pathlib import Path


def client_context(authorities: str | Path | None = None) -> ssl.SSLContext:
    """Trusts the authorities in this file, by default those of the system. Raises `OSError`."""
    return alike(ssl.create_default_context(cafile=authorities))


def alike(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, changed. Python 3.13 began to require extensions that many private authorities lack, and to
    trust an authority below another one if it alone is given. Clients in Go never did the one, and always the other.
    """
    context.verify_flags = context.verify_flags & ~ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
