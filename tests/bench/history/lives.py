"""Lifecycle events of requests as a broker keeps them: of the size and the variety of real ones, and cheap to make."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from adapters.base import Kind, Record, Topic
from events.cloudevent.binding import CONTENT_TYPE, from_nats
from events.cloudevent.event import STRUCTURED
from events.cloudevent.timestamp import format_epoch
from events.names import JOB_TYPE
from events.phases import Phase

SERVICES, TAGS, IMAGES = 50, 200, 30
SPAN = 30 * 86400.0
"""Seconds from the first request to the last."""
AT_ONCE = 100
"""Requests whose events mix."""
RARE = "rare"
"""The service of one in `RARE_EVERY` requests."""
RARE_EVERY = 20_000
STREAM = "2026-01-01T00:00:00Z"
_HEADERS = {CONTENT_TYPE: STRUCTURED}
_CODES = ("JOB_EXECUTION_FAILED", "DEADLINE_EXCEEDED", "EVICTED", "OOM_KILLED")
_TAIL = '  File "/srv/worker/main.py", line 118, in handle\n    raise ValueError(order)\nValueError: no such order\n'

Step = tuple[Phase, float, dict[str, Any]]
"""A phase, seconds since the step before, and what is in the detail of its event."""


def records(count: int, *, until: float, seed: int = 15, first: int = 1) -> Iterator[Record]:
    """The events of `count` requests, the last of which was made at `until`: about four each, numbered from `first`."""
    chance = random.Random(seed)
    sequence, going = first, []
    for number in range(count):
        going.append(_told(number, begun=until - SPAN * (1 - (number + 1) / count), chance=chance))
        while len(going) == AT_ONCE or (going and number == count - 1):
            turn = chance.randrange(len(going))
            if (told := next(going[turn], None)) is None:
                del going[turn]
                continue
            yield _record(sequence, *told)
            sequence += 1


def _record(sequence: int, event: dict[str, Any], at: float) -> Record:
    body, service, phase = orjson.dumps(event), event["data"]["detail"]["service"], event["data"]["detail"]["phase"]
    return Record(
        topic=Topic(Kind.LIFECYCLE, f"{service}.{event['subject']}.{phase}"),
        sequence=sequence,
        stream=STREAM,
        time=datetime.fromtimestamp(at, UTC),
        headers=_HEADERS,
        body=body,
        decode=partial(from_nats, _HEADERS, body),
    )


def _told(number: int, *, begun: float, chance: random.Random) -> Iterator[tuple[dict[str, Any], float]]:
    """The events of a request, and when they were stored."""
    rare = number % RARE_EVERY == RARE_EVERY // 2
    # Some services have far more requests than others.
    service = RARE if rare else f"service-{int(SERVICES * chance.random() ** 3)}"
    name, uid = f"{service}-{number:08d}", _uid(chance)
    common = {
        "service": service,
        "attempt": 1,
        **({"tags": tags} if (tags := [f"tag-{chance.randrange(TAGS)}" for _ in range(chance.randrange(4))]) else {}),
        "metadata": {"customer": f"customer-{chance.randrange(5000)}", "order": number},
    }
    attributes = {
        "specversion": "1.0",
        "source": f"/namespaces/default/jobs/{service}-{uid[:12]}",
        "subject": name,
        "datacontenttype": "application/json",
        "requestsource": "/shop/orders",
        "causationid": _uid(chance),
        "correlationid": name,
        "partitionkey": name,
        "traceparent": f"00-{chance.getrandbits(128):032x}-{chance.getrandbits(64):016x}-01",
    }
    at = begun
    for phase, seconds, detail in _steps(name, uid, begun, chance):
        at += seconds
        data = {"id": name, "status": phase.traits.status, "detail": {**common, "phase": phase, **detail}}
        own = {"id": f"{uid}/{phase}", "type": f"{JOB_TYPE}.{phase}", "time": format_epoch(int(at)), "data": data}
        yield {**attributes, **own}, at + 0.1


def _steps(name: str, uid: str, begun: float, chance: random.Random) -> Iterator[Step]:
    wait, run = chance.expovariate(1 / 5), chance.expovariate(1 / 60)
    request = {
        "type": "dev.example.order.placed",
        "eventTime": format_epoch(begun),
        "image": f"registry.example/team/worker-{chance.randrange(IMAGES)}:1.{chance.randrange(20)}",
        "cpu": 0.5,
        "memory": 268435456,
        "parallelism": 1,
        "priority": chance.randrange(10),
    }
    yield Phase.CREATED, 0.2, {"jobId": uid, "jobName": f"job-{uid[:12]}", "namespace": "default", "request": request}
    if chance.random() < 0.5:
        yield Phase.QUEUED, 0.1, {"reason": "limit", "position": chance.randrange(1, 50)}
    pod = {"podId": _uid(chance), "podName": f"job-{uid[:12]}-x7b2f", "node": f"node-{chance.randrange(40)}"}
    yield Phase.STARTED, wait, pod
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        yield Phase.PROGRESS, run / 3, {"cpu": chance.random(), "memory": chance.getrandbits(28)}
    yield _end(name, begun + wait, run, chance)


def _end(name: str, started: float, run: float, chance: random.Random) -> Step:
    detail = {
        "duration": int(run),
        "startedAt": format_epoch(int(started)),
        "finishedAt": format_epoch(int(started + run)),
        "exitCode": 0,
        "usage": {"peaks": {"cpu": chance.random(), "memory": chance.getrandbits(28)}, "samples": 3},
    }
    if (luck := chance.random()) < 0.9:
        return Phase.SUCCEEDED, run, {**detail, "result": {"order": name, "rows": chance.getrandbits(20), "ok": True}}
    error = {
        "errorCode": chance.choice(_CODES),
        "message": "the container worker ended with exit code 3",
        "container": "worker",
    }
    if luck < 0.98:
        return Phase.FAILED, run, {**detail, "exitCode": 3, "error": error, "logTail": _TAIL * 5}
    return Phase.CANCELLED, run, {**detail, "error": {**error, "errorCode": "CANCELLED"}}


def _uid(chance: random.Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))
