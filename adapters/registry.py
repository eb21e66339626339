"""All adapters whose brokers settings can name. A new adapter is one more item of `ADAPTERS`."""

import re
from collections.abc import Mapping

from adapters.descriptor import Adapter
from adapters.jetstream.descriptor import ADAPTER as JETSTREAM
from adapters.memory import MemoryBroker
from adapters.rabbitmq.descriptor import ADAPTER as RABBITMQ
from adapters.urls import InvalidURL, masked

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}")
ADAPTERS: tuple[Adapter, ...] = (JETSTREAM, RABBITMQ)
BY_NAME: Mapping[str, Adapter] = {adapter.name: adapter for adapter in ADAPTERS}
BY_SCHEME: Mapping[str, Adapter] = {scheme: adapter for adapter in ADAPTERS for scheme in adapter.schemes}
BROKER_NAMES = (*BY_NAME, MemoryBroker.name)
"""What a connected broker may be named."""


def adapter_of(url: str) -> Adapter:
    """The adapter for the URL of a broker. Raises `InvalidURL` for other schemes."""
    scheme, found, _ = url.strip().partition("://")
    adapter = BY_SCHEME.get(scheme.lower()) if found else None
    if adapter is None:
        known = ", ".join(f"{scheme}://host:port" for scheme in BY_SCHEME)
        named = f"; not {scheme}://" if found and _SCHEME.fullmatch(scheme) else ""
        raise InvalidURL(f"not a broker URL; allowed: {known}{named}")
    return adapter


def shown(url: str) -> str:
    """The URL of a broker as it may be shown to anybody: without user, password and unknown parameters."""
    return masked(url, adapter_of(url).rules)
