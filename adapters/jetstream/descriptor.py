"""NATS JetStream as the rest of jobrelay knows it."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager

from adapters.base import Broker, Kind, Topic
from adapters.descriptor import Adapter, Channel
from adapters.jetstream.options import OWN_API, RULES, JetStreamOptions, options_of
from adapters.jetstream.topology import StreamNames
from adapters.lanes import LANES

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
    calls = ("INFO", "STREAM.INFO.*", "CONSUMER.INFO.*.*")
    looking = (f"{options.api}.{call}" for call in calls)
    return {"publish": (*looking, *_readers(instance, Kind.LIFECYCLE, options), *own), "subscribe": ("_INBOX.>",)}


def _operating(instance: str, options: JetStreamOptions | None = None) -> Mapping[str, tuple[str, ...]]:
    reading, names = _reading(instance, options), StreamNames(instance)
    topics = (*(Topic(Kind.REQUESTS, lane) for lane in LANES), Topic(Kind.CONTROL))
    asking = (names.subject(topic) for topic in topics)
    letters = _readers(instance, Kind.DEAD, options or JetStreamOptions())
    return {**reading, "publish": (*reading["publish"], *letters, *asking)}


def _readers(instance: str, kind: Kind, options: JetStreamOptions) -> Iterator[str]:
    """Calls that read a stream without consuming it."""
    stream = StreamNames(instance).stream(kind)
    return (f"{options.api}.CONSUMER.{call}.{stream}.>" for call in ("CREATE", "MSG.NEXT", "DELETE"))


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
    operating=_operating,
    unseen=lambda _url, _instance: (),
    channel=_channel,
)
