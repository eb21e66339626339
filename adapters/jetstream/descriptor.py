"""NATS JetStream as the rest of jobrelay knows it."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from adapters.base import Broker, Kind, Topic
from adapters.descriptor import Adapter, Channel
from adapters.jetstream.options import OWN_API, RULES, JetStreamOptions, options_of
from adapters.jetstream.topology import StreamNames

_STREAMS = (Kind.REQUESTS, Kind.CONTROL, Kind.LIFECYCLE, Kind.DEAD)


def _connect(url: str, *, instance: str, options: JetStreamOptions | None) -> AbstractAsyncContextManager[Broker]:
    from adapters.jetstream import broker

    return broker.connect(url, instance=instance, options=options)


def _stores(instance: str) -> tuple[str, ...]:
    names = StreamNames(instance)
    return tuple(names.stream(kind) for kind in _STREAMS)


def _removal(instance: str, options: JetStreamOptions | None = None) -> tuple[str, ...]:
    where = ""
    if options is not None and options.api_prefix:
        where = f"--js-api-prefix {options.api_prefix} "
    elif options is not None and options.domain:
        where = f"--js-domain {options.domain} "
    return tuple(f"nats {where}stream rm {stream}" for stream in _stores(instance))


def _permissions(instance: str, options: JetStreamOptions | None = None) -> Mapping[str, tuple[str, ...]]:
    options = options or JetStreamOptions()
    # Whether the server itself has the streams of the domain as well.
    own = (f"{OWN_API}.STREAM.INFO.*",) if options.domain else ()
    return {"publish": (f"{instance}.>", f"{options.api}.>", "$JS.ACK.>", *own), "subscribe": ("_INBOX.>",)}


def _reading(instance: str, options: JetStreamOptions | None = None) -> Mapping[str, tuple[str, ...]]:
    options = options or JetStreamOptions()
    own = (f"{OWN_API}.STREAM.INFO.*",) if options.domain else ()
    log = StreamNames(instance).stream(Kind.LIFECYCLE)
    calls = ("INFO", "STREAM.INFO.*", "CONSUMER.INFO.*.*")
    ours = (f"CONSUMER.{call}.{log}.>" for call in ("CREATE", "MSG.NEXT", "DELETE"))
    return {
        "publish": (*(f"{options.api}.{call}" for call in (*calls, *ours)), *own),
        "subscribe": ("_INBOX.>",),
    }


def _channel(instance: str, topic: Topic) -> Channel:
    names = StreamNames(instance)
    return Channel(address=names.subject(topic), fields={"x-jetstream": {"stream": names.stream(topic.kind)}})


ADAPTER = Adapter(
    name="nats",
    title="NATS",
    about="NATS with JetStream",
    schemes=("nats", "tls"),
    authority="[user:password@]host:port",
    rules=RULES,
    port=4222,
    libraries=("nats",),
    connect=_connect,
    options=options_of,
    stores=_stores,
    removal=_removal,
    permissions=_permissions,
    reading=_reading,
    unseen=lambda _url, _instance: (),
    channel=_channel,
)
