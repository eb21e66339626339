"""Messages with a secret in each place of an event, of a request and of a function's data. All are refused.

What only AMQP can carry is in `IN_AMQP`; all others go to both brokers, or as bytes to NATS.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from events.names import CONTROL_TYPE, REQUESTED_TYPE
from events.request.request import JobRequest
from tests.events.walking import fields, nested, places
from tests.handler.intake.functions import make_function

Json = dict[str, Any]
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
REQUESTS, CONTROL = "requests", "control"
POLICY: Json = {"images": ("busybox:*",), "max_claim_storage": "1Gi", "control_wait": 0, "reply_topics": ("answers.*",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A message with a secret in it. `identifies`: it stands where only sentences must not repeat it."""

    what: str
    body: bytes
    headers: Mapping[str, Any] = field(default_factory=lambda: STRUCTURED)
    topic: str = REQUESTS
    identifies: bool = False


ID = "e-00000"
"""The id of each event. Each message has one of its own in its place: brokers drop answers with the same id."""


def make_document(**changes: Any) -> Json:
    """An event that no function takes, with these attributes and data changed."""
    fixed = {"specversion": "1.0", "id": ID, "source": "/secrets", "type": "com.example.none"}
    return {**fixed, "datacontenttype": "application/json", "data": {}, **changes}


def make_body(**changes: Any) -> bytes:
    return json.dumps(make_document(**changes)).encode()


def make_request(data: object) -> bytes:
    return make_body(type=REQUESTED_TYPE, data=data)


def spoilt(secret: str) -> list[Any]:
    """What a field of text, of a number or of an object cannot be, and what it can."""
    return [secret, f" {secret}\x00", [secret], {"user": {"password": [secret]}}]


# Of an event

_PASSED_ON = ("id", "source", "type", "subject", "correlationid", "traceparent", "tracestate")


def in_attributes(secret: str) -> Iterator[Case]:
    """In each attribute: of a wrong type, and as text that it cannot be or that it can."""
    names = ("id", "source", "type", "subject", "specversion", "time", "datacontenttype", "dataschema", "expirytime")
    for name in (*names, "replyto", "correlationid", "traceparent", "tracestate", "partitionkey", "myextension"):
        for value in ([secret], {"user": "app", "password": secret}, f"{secret}\x01", secret + "x" * 9000, 1e300):
            yield Case(what=f"{name} as {type(value).__name__}", body=make_body(**{name: value}))
        if name not in ("datacontenttype", "replyto"):
            yield Case(what=f"{name} as text", body=make_body(**{name: secret}), identifies=name in _PASSED_ON)
    yield Case(what="source with a space", body=make_body(source=f"/a b/{secret}"))
    yield Case(what="time that is past", body=make_body(expirytime="2020-01-01T00:00:00Z", password=secret))
    for name in ("Password", "pass_word", "credentials", "pass-word", "ce-password"):
        yield Case(what=f"extension {name}", body=make_body(**{name: secret}))
        yield Case(what=f"extension {name} as an object", body=make_body(**{name: {"a": secret}}))
    reply = make_body(type=REQUESTED_TYPE, replyto=secret, data={"job": {"image": "busybox:1"}})
    yield Case(what="replyto that is not allowed", body=reply)


def in_documents(secret: str) -> Iterator[Case]:
    """In what is no JSON, or JSON that is no event."""
    bodies = {
        "cut off": make_body(data={"password": secret})[:-1],
        "trailing comma": make_body(data=secret)[:-1] + b",}",
        "bare word": b'{"id":' + secret.encode() + b"}",
        "bare text": json.dumps(secret).encode(),
        "plain": secret.encode(),
        "list": json.dumps([secret]).encode(),
        "no event": json.dumps({"id": "1", "credentials": {"user": "app", "password": secret}}).encode(),
        "not UTF-8": make_body(data=secret)[:-2] + b"\xff" + b'"}',
        "half a pair": make_body(data=secret)[:-2] + b'\\ud800"}',
        "too deep": make_body(data={secret: nested(("a",) * 120, secret)}),
        "both data": make_body(data=secret, data_base64=secret),
        "no base64": json.dumps({**make_document(), "data": None, "data_base64": f"{secret}!"}).encode(),
        "base64 as an object": json.dumps({**make_document(), "data": None, "data_base64": {"a": secret}}).encode(),
    }
    for what, body in bodies.items():
        yield Case(what=what, body=body)
        yield Case(what=f"{what}, without a content type", body=body, headers={})
    for value in (secret, [secret], {"x": secret}):
        yield Case(what=f"data as {type(value).__name__}", body=make_body(data=value))
        yield Case(what=f"data of a request as {type(value).__name__}", body=make_request(value))
    for kind in ("charset", "token"):
        headers = {"Content-Type": f"application/cloudevents+json; {kind}={secret}"}
        yield Case(what=f"{kind} of the content type", body=b"{}", headers=headers)
    yield Case(what="coding", body=make_body(), headers={**STRUCTURED, "Content-Encoding": secret})


def in_binary_mode(secret: str) -> Iterator[Case]:
    """In headers."""
    fixed = {"ce-specversion": "1.0", "ce-id": ID, "ce-source": "/secrets", "ce-type": "com.example.none"}
    changes: list[Json] = [
        {"ce-specversion": secret},
        {"ce-time": secret},
        {"ce-expirytime": secret},
        {"ce-source": f"a b {secret}"},
        {"ce-password": secret},
        {"ce-pass_word": secret},
        {"ce-subject": f"%zz{secret}"},
        {"ce-subject": f"%ff{secret}"},
        {"ce-password": f"{secret}%00"},
        {"Content-Type": f"application/json; charset={secret}"},
        {"x-password": secret, "ce-id": ""},
        {"jobrelay-attempts": secret, "jobrelay-not-before": secret, "jobrelay-replays": secret},
        {"traceparent": secret, "ce-traceparent": secret},
    ]
    for change in changes:
        yield Case(what=f"header {next(iter(change))}", body=secret.encode(), headers={**fixed, **change})
    for name in fixed:
        kept = {key: value for key, value in fixed.items() if key != name}
        yield Case(what=f"no {name}", body=make_body(data=secret), headers={**kept, "ce-password": secret})
    yield Case(what="Kafka's prefix", body=secret.encode(), headers={"ce_id": secret, "ce_type": secret})
    yield Case(what="header beside a body that differs", body=make_body(), headers={**STRUCTURED, "ce-subject": secret})


def in_commands(secret: str) -> Iterator[Case]:
    """In control events. They are answered, and only what is no command becomes a dead letter."""
    named: Json = {"type": f"{CONTROL_TYPE}.cancel", "subject": "nobody", "data": {"password": secret}}
    changes: Mapping[str, Json] = {
        "type": {"type": f"{CONTROL_TYPE}.{secret}", "subject": None},
        "type as an object": {"type": {"password": secret}},
        "requestsource as a number and an extension": {"requestsource": 5, "subject": None, "password": secret},
    }
    for what, change in changes.items():
        identifies = what == "type"
        yield Case(what=what, body=make_body(**named | change), topic=CONTROL, identifies=identifies)


# Of a request


def in_requests(secret: str) -> Iterator[Case]:
    """In each field of each object of a request, none of which is complete."""
    for place, model in places(JobRequest):
        if place[:1] == ("failover",) and len(place) > 2:
            continue  # The same objects as in `job`.
        for name in (*fields(model), "password"):
            for value in spoilt(secret):
                identifies = not place and name in ("id", "service")
                where = ".".join(map(str, (*place, name)))
                body = make_request(nested((*place, name), value))
                yield Case(what=f"{where} as {type(value).__name__}", body=body, identifies=identifies)


def against_policy(secret: str) -> Iterator[Case]:
    """In fields that are well formed, and refused by the policy, by a rule, or by Kubernetes."""
    jobs: list[Json] = [
        {"image": f"evil/{secret}"},
        {"namespace": secret},
        {"serviceAccount": secret},
        {"priorityClassName": secret},
        {"envRef": [{"name": secret, "type": "secret"}]},
        {"imagePullSecrets": [{"name": secret}]},
        {"volume": {"mountPath": "/a", "pvc": secret}},
        {"volumes": [{"mountPath": "/a", "pvc": secret}]},
        {"volumes": [{"mountPath": "/a", "secret": secret}]},
        {"volumes": [{"mountPath": "/a", "ephemeral": {"storage": "1Ti", "storageClassName": secret}}]},
        {"volumes": [{"mountPath": f"/{secret}", "emptyDir": {}}] * 2},
        {"labels": {"evil.example/a": secret, "app": secret}},
        {"annotations": {"evil.example/a": secret, "kubernetes.io/a": secret}},
        {"env": [{"name": "CE_ID", "value": secret}]},
        {"env": [{"name": "A", "value": secret}] * 2},
        {"env": [{"name": "A", "value": secret + "x" * 140_000}]},
        {"args": [secret + "x" * 140_000]},
        {"tolerations": [{"key": "a", "operator": "Exists", "value": secret}]},
        {"labels": {"a": f"{secret} "}, "image": f"busybox:{secret}"},
        # This Kubernetes refuses, and repeats.
        {"podFailurePolicy": {"rules": [{"action": "FailJob", "onPodConditions": [{"type": f"{secret} !"}]}]}},
    ]
    for job in jobs:
        whole = {"image": "busybox:1", **job}
        yield Case(what=f"job.{next(iter(job))} {json.dumps(job)[:60]}", body=make_request({"job": whole}))
        other = {"job": {"image": "busybox:1"}, "failover": {"job": whole}, "qqq": secret}
        yield Case(what=f"failover.job.{next(iter(job))}", body=make_request(other))
    requests: list[Json] = [
        {"schedule": f"{secret} * * * *"},
        {"schedule": f"@every {secret}"},
        {"schedule": f"TZ={secret} * * * * *"},
        {"schedule": "@daily", "timeZone": f"Mars/{secret}"},
        {"runAt": secret},
        {"dependencies": [secret, secret]},
        {"concurrency": {"key": f"{secret}\n"}},
        {"metadata": {"a": secret * 1000}},
        {"tags": [secret * 1000]},
        {"webhook": f"https://{secret}"},
    ]
    for request in requests:
        whole = {"job": {"image": "busybox:1"}, **request}
        yield Case(what=next(iter(request)), body=make_request(whole))


# Of a function's data

_ASKED: Mapping[str, Json] = {
    "lacking": {"env": {"A": "{data.absent}", "B": "{data.secret}"}},
    "literal": {"env": {"A": "{data.secret}"}},
    "keyed": {"queue": {"concurrency": {"key": "{data.secret}"}}},
    "waiting": {"queue": {"dependencies": ["{data.secret}", "{data.secret}"]}},
    "tagged": {"tags": ["{data.secret}"], "metadata": {"a": {"b": "{data.secret}"}}},
    "whole": {"env": {"A": "{data}"}, "tags": ["{data.none:-x}"]},
}
FUNCTIONS = [
    {**make_function(name), "filters": [{"exact": {"type": f"com.example.{name}"}}], **asked}
    for name, asked in _ASKED.items()
]


def in_data(secret: str) -> Iterator[Case]:
    """In data from which a function cannot make its Job."""
    for name, value in {
        "lacking": secret,
        "literal": f"{secret}\x00",
        "keyed": f"{secret}\n",
        "waiting": secret,
        "tagged": secret * 2000,
    }.items():
        yield Case(what=f"function {name}", body=make_body(type=f"com.example.{name}", data={"secret": value}))
    yield Case(what="variable too large", body=make_body(type="com.example.literal", data={"secret": secret * 5000}))
    yield Case(what="not an object", body=make_body(type="com.example.literal", data=[secret]))
    headers = {"ce-specversion": "1.0", "ce-id": ID, "ce-source": "/secrets", "ce-type": "com.example.whole"}
    for kind in ("application/avro", "text/plain; charset=utf-16"):
        yield Case(what=f"data of {kind}", body=secret.encode() + b"\xff", headers={**headers, "Content-Type": kind})


ON_NATS: tuple[Callable[[str], Iterator[Case]], ...] = (
    in_attributes,
    in_documents,
    in_binary_mode,
    in_commands,
    in_requests,
    against_policy,
    in_data,
)


def in_amqp(secret: str) -> Iterator[Case]:
    """In headers of types that only AMQP has."""
    fixed = {
        "ce-specversion": "1.0",
        "cloudEvents:id": ID,
        "CE-source": "/secrets",
        "cloudEvents_type": "com.example.none",
    }
    values: list[Any] = [
        {"user": "app", "password": secret},
        [secret, [secret]],
        bytearray(secret.encode() + b"\xff"),
        f"{secret}\x07",
        1.5,
        datetime(2026, 1, 1, tzinfo=UTC),
        None,
    ]
    for prefix in ("ce-", "cloudEvents:", "cloudEvents_"):
        for name in ("id", "source", "type", "specversion", "subject", "time", "myextension", "My_Extension"):
            for value in values:
                kept = {key: old for key, old in fixed.items() if not key.lower().endswith(name.lower())}
                headers = {**kept, f"{prefix}{name}": value, "x-password": secret}
                yield Case(what=f"{prefix}{name} as {type(value).__name__}", body=secret.encode(), headers=headers)
    twice = {**fixed, "ce-subject": "a", "cloudEvents:subject": secret}
    yield Case(what="subject under two prefixes", body=b"", headers=twice)
    for ours in ("jobrelay-attempts", "jobrelay-not-before", "x-delivery-count", "x-death", "content-type"):
        yield Case(what=f"header {ours}", body=secret.encode(), headers={**fixed, ours: {"password": secret}})


ON_AMQP: tuple[Callable[[str], Iterator[Case]], ...] = (
    in_amqp,
    in_attributes,
    in_documents,
    in_commands,
    against_policy,
    in_data,
)
