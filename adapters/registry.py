"""All adapters whose brokers settings can name. A new adapter is one more item of `ADAPTERS`."""

from collections.abc import Mapping

from adapters.descriptor import Adapter
from adapters.jetstream.descriptor import ADAPTER as JETSTREAM
from adapters.memory import MemoryBroker
from adapters.rabbitmq.descriptor import ADAPTER as RABBITMQ

ADAPTERS: tuple[Adapter, ...] = (JETSTREAM, RABBITMQ)
BY_NAME: Mapping[str, Adapter] = {adapter.name: adapter for adapter in ADAPTERS}
BY_SCHEME: Mapping[str, Adapter] = {scheme: adapter for adapter in ADAPTERS for scheme in adapter.schemes}
BROKER_NAMES = (*BY_NAME, MemoryBroker.name)
"""What a connected broker may be named."""
