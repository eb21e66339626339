"""Declares and compares what `topology` lists, over the JetStream API, and says who is in the way. Deletes nothing."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.base import BrokerUnavailable, Depth, Kind, Topic, TopologyDrift
from adapters.jetstream.connection import Connection
from adapters.jetstream.errors import ApiError
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.replicas import Scaling
from adapters.jetstream.topology import (
    Consumer,
    Stream,
    StreamNames,
    collide,
    consumer_drift,
    is_former,
    paused,
    stream_drift,
    streams,
)
from adapters.topics import lanes_of

logger = logging.getLogger(__name__)

_NO_SPACE = (10023, 10047)
_OVERLAP = 10065
_TAKEN = (10099, 10100)
_NO_PEERS = (10005, 10074)
_GONE = 404
_REMEDY = "a subject can be in one stream only; JOBRELAY_INSTANCE gives ours other names"


class _Refused(BrokerUnavailable):
    """The server will not make it, and why."""


class Declarer:
    """Streams and consumers of one installation. `redeclared` counts those that were there once and had gone."""

    def __init__(self, link: Connection, names: StreamNames, options: JetStreamOptions, scaling: Scaling) -> None:
        self._link = link
        self._scaling = scaling
        self._names = names
        self._options = options
        self._known: set[str] = set()
        self._found_doubles: list[str] | None = None
        self.redeclared = 0

    async def declare(self) -> None:
        """See the port. What the server refuses keeps nothing else from being created."""
        refused: list[str] = []
        drift = await self._doubles()
        for stream in self._streams():
            try:
                drift += await self._declare_stream(stream)
            except (ApiError, _Refused) as error:
                refused.append(str(error))
        _report(refused, drift)

    async def check(self) -> None:
        """See the port. It says all that is wrong at once."""
        missing: list[str] = []
        drift = await self._doubles()
        for stream in self._streams():
            found = await self._info(f"STREAM.INFO.{stream.name}")
            if found is None:
                missing.append(f"stream {stream.name}{_aside(await self._takers(stream.subjects))}")
                continue
            drift += await self._stream_drift(stream, found["config"])
            for consumer in stream.consumers:
                found = await self._info(f"CONSUMER.INFO.{stream.name}.{consumer.name}")
                if found is None:
                    missing.append(f"{_called(stream, consumer)}{_aside(await self._rivals(stream, consumer))}")
                else:
                    drift += _consumer_drift(stream, consumer, found)
        _report([f"missing on the broker: {', '.join(missing)}"] if missing else [], drift)

    async def depth(self) -> Mapping[Topic, Depth]:
        """See the port. Delayed and returned messages count as unsettled."""
        depths: dict[Topic, Depth] = {}
        for kind in (Kind.REQUESTS, Kind.CONTROL):
            for topic in lanes_of(kind):
                call = f"CONSUMER.INFO.{self._names.stream(kind)}.{self._names.consumer(topic)}"
                info = await self._link.api(call)
                depths[topic] = Depth(ready=int(info["num_pending"]), unsettled=int(info["num_ack_pending"]))
        dead = await self._link.api(f"STREAM.INFO.{self._names.stream(Kind.DEAD)}")
        depths[Topic(Kind.DEAD)] = Depth(ready=int(dead["state"]["messages"]), unsettled=0)
        return depths

    async def fill(self) -> Mapping[Kind, float]:
        """See the port."""
        found: dict[Kind, float] = {}
        for kind in (Kind.REQUESTS, Kind.LIFECYCLE, Kind.DEAD):
            info = await self._link.api(f"STREAM.INFO.{self._names.stream(kind)}")
            bound = int(info["config"].get("max_bytes") or 0)
            found[kind] = int(info["state"]["bytes"]) / bound if bound > 0 else 0.0
        return found

    def _streams(self) -> tuple[Stream, ...]:
        return streams(self._names, max_payload=self._link.max_payload, options=self._options)

    async def _info(self, call: str) -> dict[str, Any] | None:
        try:
            return await self._link.api(call)
        except ApiError as error:
            if error.code == _GONE:
                return None
            raise

    # Creating

    async def _declare_stream(self, stream: Stream) -> list[str]:
        called = f"stream {stream.name}"
        found = await self._info(f"STREAM.INFO.{stream.name}")
        if found is None:
            found = await self._create_stream(stream)
            self._created(called, "what was in it is lost")
            # They went with it.
            self._known.difference_update(_called(stream, consumer) for consumer in stream.consumers)
        self._known.add(called)
        await self._scaling.scale(stream.name, found["config"])
        drift = await self._stream_drift(stream, found["config"])
        for consumer in stream.consumers:
            drift += await self._declare_consumer(stream, consumer)
        return drift

    async def _create_stream(self, stream: Stream) -> dict[str, Any]:
        size = stream.config.get("max_bytes")
        try:
            return await self._link.api(f"STREAM.CREATE.{stream.name}", stream.config)
        except ApiError as error:
            if error.err_code in _NO_SPACE:
                if (smaller := stream.smaller()) is not None:
                    return await self._create_stream(smaller)
                raise _Refused(
                    f"JetStream has no room for {stream.name}{'' if size is None else f' of {size} bytes'}: raise the "
                    f"server's max_file_store{stream.remedy} ({error.description})"
                ) from error
            if error.err_code == _OVERLAP and (takers := await self._takers(stream.subjects)):
                raise _Refused(f"stream {stream.name} cannot be created: {takers}; {_REMEDY}") from error
            if error.err_code in _NO_PEERS:
                raise _Refused(
                    f"stream {stream.name} cannot have {stream.config['num_replicas']} replicas: start as many servers "
                    f"with JetStream in one cluster, or lower JOBRELAY_NATS_REPLICAS ({error.description})"
                ) from error
            # Another process created it first, with other arguments.
            found = await self._info(f"STREAM.INFO.{stream.name}")
            if found is None:
                raise
            return found

    async def _declare_consumer(self, stream: Stream, consumer: Consumer) -> list[str]:
        called = _called(stream, consumer)
        found = await self._info(f"CONSUMER.INFO.{stream.name}.{consumer.name}")
        if found is None:
            found = await self._create_consumer(stream, consumer)
            self._created(called, "what it had delivered and was not settled comes again")
        elif is_former(found["config"]):
            found = await self._update_consumer(stream, consumer, found["config"])
        self._known.add(called)
        return _consumer_drift(stream, consumer, found)

    async def _update_consumer(self, stream: Stream, consumer: Consumer, found: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {**found, "ack_wait": consumer.config["ack_wait"]}
        request = {"stream_name": stream.name, "action": "update", "config": wanted}
        updated = await self._link.api(
            f"CONSUMER.CREATE.{stream.name}.{consumer.name}.{found['filter_subject']}", request
        )
        logger.info("%s: what is delivered and not settled comes again sooner now", _called(stream, consumer))
        return updated

    async def _create_consumer(self, stream: Stream, consumer: Consumer) -> dict[str, Any]:
        # "create" does not change a consumer that another process created meanwhile.
        request = {"stream_name": stream.name, "action": "create", "config": consumer.config}
        subject = consumer.config["filter_subject"]
        try:
            return await self._link.api(f"CONSUMER.CREATE.{stream.name}.{consumer.name}.{subject}", request)
        except ApiError as error:
            if error.err_code in _TAKEN and (rivals := await self._rivals(stream, consumer)):
                raise _Refused(f"{_called(stream, consumer)} cannot be created: {rivals}; delete it") from error
            raise

    def _created(self, called: str, meaning: str) -> None:
        if called in self._known:
            self.redeclared += 1
            logger.warning("%s was gone and is declared anew: %s", called, meaning)
        else:
            logger.info("created %s", called)

    # Who is in the way

    async def _doubles(self) -> list[str]:
        """A sentence if our server has such an installation too, beside that of the domain. Asked once."""
        if self._options.domain and self._found_doubles is None:
            name = self._names.stream(Kind.REQUESTS)
            found = await self._link.own_stream(name)
            domain = found.get("domain") or "of this server"
            self._found_doubles = (
                [f"stream {name} is in the domain {domain}, too: each would settle the other's messages"]
                if found and domain != self._options.domain
                else []
            )
        return list(self._found_doubles or ())

    async def _stream_drift(self, stream: Stream, found: Mapping[str, Any]) -> list[str]:
        lacking = [subject for subject in stream.subjects if subject not in (found.get("subjects") or ())]
        drift = list(stream_drift(stream, found))
        if lacking and (takers := await self._takers(lacking, other_than=stream.name)):
            drift.append(f"{takers}; {_REMEDY}")
        return drift

    async def _takers(self, subjects: Sequence[str], *, other_than: str = "") -> str:
        """Which other streams store these subjects; empty when none does, or when we may not know."""
        takers: dict[str, set[str]] = {}
        try:
            for subject in subjects:
                answer = await self._link.api("STREAM.LIST", {"subject": subject})
                for found in answer.get("streams") or ():
                    theirs = found["config"].get("subjects") or ()
                    takers.setdefault(found["config"]["name"], set()).update(
                        their for their in theirs if collide(their, subject)
                    )
        except BrokerUnavailable as error:
            logger.debug("not known who stores %s: %s", ", ".join(subjects), error)
        takers.pop(other_than, None)
        said = [f"stream {name} stores {', '.join(sorted(theirs))}" for name, theirs in sorted(takers.items())]
        return " and ".join(said)

    async def _rivals(self, stream: Stream, consumer: Consumer) -> str:
        """Which consumers of a work queue take what ours should; empty when none does, or when we may not know."""
        ours = str(consumer.config["filter_subject"])
        try:
            found = (await self._link.api(f"CONSUMER.LIST.{stream.name}")).get("consumers") or ()
        except BrokerUnavailable as error:
            logger.debug("not known who consumes %s: %s", stream.name, error)
            return ""
        rivals = sorted(info["name"] for info in found if any(collide(theirs, ours) for theirs in _filters(info)))
        return f"consumer {', '.join(rivals)} takes {ours} from this stream" if rivals else ""


def _report(problems: Sequence[str], drift: Sequence[str]) -> None:
    if problems:
        raise BrokerUnavailable("; ".join([*problems, *drift]))
    if drift:
        raise TopologyDrift("; ".join(drift))


def _consumer_drift(stream: Stream, consumer: Consumer, found: Mapping[str, Any]) -> list[str]:
    return [*paused(stream, consumer, found), *consumer_drift(stream, consumer, found["config"])]


def _filters(info: Mapping[str, Any]) -> Sequence[str]:
    config = info["config"]
    return config.get("filter_subjects") or [config.get("filter_subject") or ">"]


def _aside(text: str) -> str:
    return f" ({text})" if text else ""


def _called(stream: Stream, consumer: Consumer) -> str:
    return f"consumer {consumer.name} of {stream.name}"
