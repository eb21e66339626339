"""Options that all adapters with a server share. Each adapter adds its own."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.lanes import LANES, WEIGHTS
from adapters.tls import client_context


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """How to reach a broker server. Times in seconds."""

    tls_ca: Path | None = None
    """CA bundle for the server's certificate; None: the system's."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_server_name: str | None = None
    """The name that certificates of all servers must have; None: each that of its own address."""
    silence: float = 10.0
    """A server that says nothing for this long is taken for dead, and its connection given up."""
    connect_timeout: float = 10.0
    publish_timeout: float = 5.0
    max_bytes: int = 64 << 20
    """Bytes of a subscription's messages that are here and unsettled. Beyond it each lane may have one message."""
    lane_weights: Mapping[str, int] = field(default_factory=lambda: dict(WEIGHTS))

    def tls_context(self) -> ssl.SSLContext:
        """Trusts the CA, and presents the client certificate where it is set."""
        context = client_context(self.tls_ca)
        if self.tls_cert is not None:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        return context


def common_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `ConnectionOptions` that come from settings, given by the names that settings have."""
    return {
        "tls_ca": settings["tls_ca"],
        "tls_cert": settings["tls_cert"],
        "tls_key": settings["tls_key"],
        "tls_server_name": settings["tls_server_name"],
        "silence": settings["broker_silence_seconds"],
        "publish_timeout": settings["broker_timeout"],
        "max_bytes": settings["max_bytes_in_flight"],
        "lane_weights": dict(zip(LANES, settings["lane_weights"], strict=True)),
    }
