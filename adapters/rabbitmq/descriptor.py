"""RabbitMQ as the rest of jobrelay knows it."""

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from adapters.base import Broker, Kind, Topic
from adapters.descriptor import Adapter, Channel
from adapters.rabbitmq.options import RULES, RabbitMQOptions, options_of
from adapters.rabbitmq.policies import unseen
from adapters.rabbitmq.topology import QueueNames, exchanges, queues, reader

_BINDING_VERSION = "0.3.0"


def _connect(url: str, *, instance: str, options: RabbitMQOptions | None) -> AbstractAsyncContextManager[Broker]:
    from adapters.rabbitmq import broker

    return broker.connect(url, instance=instance, options=options)


def _stores(instance: str) -> tuple[str, ...]:
    return tuple(queue.name for queue in queues(QueueNames(instance)))


def _removal(instance: str, options: RabbitMQOptions | None = None) -> tuple[str, ...]:
    commands = (f"rabbitmqctl delete_queue {queue}" for queue in _stores(instance))
    return (*commands, f"and the exchanges {instance}.*, which hold nothing")


def _permissions(instance: str, options: RabbitMQOptions | None = None) -> Mapping[str, tuple[str, ...]]:
    return dict.fromkeys(("configure", "write", "read"), (rf"^{instance}\.",))


def _reading(instance: str, options: RabbitMQOptions | None = None) -> Mapping[str, tuple[str, ...]]:
    log = QueueNames(instance).queue(Topic(Kind.LIFECYCLE))
    return {"configure": ("^$",), "write": ("^$",), "read": (f"^{re.escape(log)}$",)}


def _operating(instance: str, options: RabbitMQOptions | None = None) -> Mapping[str, tuple[str, ...]]:
    names = QueueNames(instance)
    log, letters = names.queue(Topic(Kind.LIFECYCLE)), names.queue(Topic(Kind.DEAD))
    # Whoever reads dead letters holds a queue, so that no two do at once.
    return {
        "configure": (_either(reader(letters)),),
        "write": (_either(names.exchange(Kind.REQUESTS), names.exchange(Kind.CONTROL)),),
        "read": (_either(log, letters),),
    }


def _either(*names: str) -> str:
    return rf"^({'|'.join(map(re.escape, names))})$"


def _channel(instance: str, topic: Topic) -> Channel:
    names = QueueNames(instance)
    match topic.kind:
        case Kind.DEAD:
            return _queue(names.queue(Topic(Kind.DEAD)))
        case Kind.REQUESTS if not topic.key:
            note = " Any other routing key does the same, the empty one too."
            return _bound(names, "normal", topic, note)
        case Kind.CONTROL:
            return _bound(names, names.queue(topic), topic, " The empty routing key does the same.")
        case _:
            return _bound(names, topic.key, topic)


def _bound(names: QueueNames, key: str, topic: Topic, note: str = "") -> Channel:
    """Clients publish to, or bind, the exchange of the topic; the address is the routing key."""
    exchange = next(exchange for exchange in exchanges(names) if exchange.name == names.exchange(topic.kind))
    declared = {"name": exchange.name, "type": exchange.kind, "durable": True, "autoDelete": False}
    binding = {"is": "routingKey", "exchange": declared, "bindingVersion": _BINDING_VERSION}
    return Channel(address=key, fields={"bindings": {"amqp": binding}}, note=note)


def _queue(name: str) -> Channel:
    declared = {"name": name, "durable": True, "exclusive": False, "autoDelete": False}
    binding = {"is": "queue", "queue": declared, "bindingVersion": _BINDING_VERSION}
    return Channel(address=name, fields={"bindings": {"amqp": binding}})


ADAPTER = Adapter(
    name="rabbitmq",
    title="RabbitMQ",
    about="RabbitMQ, 3.10 or newer",
    schemes=("amqp", "amqps"),
    authority="[user:password@]host:port/[vhost]",
    rules=RULES,
    port=5672,
    libraries=("aio_pika", "aiormq", "pamqp", "yarl"),
    connect=_connect,
    options=options_of,
    stores=_stores,
    removal=_removal,
    permissions=_permissions,
    reading=_reading,
    operating=_operating,
    unseen=unseen,
    channel=_channel,
)
