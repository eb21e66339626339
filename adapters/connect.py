"""Which adapter a broker URL means. The broker's client library is imported only then."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

from adapters import memory
from adapters.base import Broker
from adapters.jetstream.options import JetStreamOptions
from adapters.rabbitmq.options import RabbitMQOptions
from events.names import DEFAULT_INSTANCE

_LIBRARIES = {"nats": ("nats",), "rabbitmq": ("aio_pika", "aiormq", "pamqp", "yarl")}


def connect(
    url: str,
    *,
    instance: str = DEFAULT_INSTANCE,
    options: JetStreamOptions | None = None,
    rabbitmq: RabbitMQOptions | None = None,
) -> AbstractAsyncContextManager[Broker]:
    """A connected broker.

    `nats://` and `tls://` are NATS JetStream, `amqp://` and `amqps://` RabbitMQ, and `memory://` is one in this
    process, empty. `options` are for NATS, `rabbitmq` for RabbitMQ.

    Raises ValueError for other schemes, RuntimeError when the client library is not installed, and on entry
    `BrokerUnavailable` when the broker cannot be reached in time.
    """
    scheme = url.partition("://")[0]
    if scheme == "memory":
        return memory.connect()
    if scheme in ("nats", "tls"):
        with _extra("nats", "NATS"):
            from adapters.jetstream import broker as jetstream
        return jetstream.connect(url, instance=instance, options=options or JetStreamOptions())
    if scheme in ("amqp", "amqps"):
        with _extra("rabbitmq", "RabbitMQ"):
            from adapters.rabbitmq import broker as amqp
        return amqp.connect(url, instance=instance, options=rabbitmq or RabbitMQOptions())
    raise ValueError(f"not a broker URL: {scheme}:// (nats://, tls://, amqp://, amqps:// or memory://)")


@contextmanager
def _extra(extra: str, what: str) -> Iterator[None]:
    """Name the extra whose client library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _LIBRARIES[extra]:
            raise
        raise RuntimeError(f"{what} needs the extra [{extra}]: pip install 'jobrelay[{extra}]'") from error
