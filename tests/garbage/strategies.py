"""What no client should send, as hypothesis strategies. Each makes a `Message`."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from events.names import CONTROL_TYPE, REQUESTED_TYPE
from tests.garbage.wire import block

SUBJECTS = ("jobrelay.requests", "jobrelay.requests.high", "jobrelay.requests.low", "jobrelay.control")
_STRUCTURED = block((b"Content-Type", b"application/cloudevents+json"))


@dataclass(frozen=True, slots=True)
class Message:
    """`block` None: published without headers."""

    subject: str
    body: bytes
    block: bytes | None = None


subjects = st.sampled_from(SUBJECTS)
wild_text = st.one_of(
    st.text(max_size=40),
    # NUL, lone surrogates, separators, names of other things, too long, nearly right
    st.sampled_from(["", "\0", "a\0b", "\ud800", "..", "../..", "a/b", "*", ">", "%", "%zz", "\u202e", " ", "\n"]),
    st.sampled_from(["-", "A_B", "a" * 300, "ä" * 200, "kube-system", "jobrelay.dev/lifecycle", "{}", "$(id)"]),
)
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | wild_text
wild_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(wild_text, inner, max_size=3),
    max_leaves=8,
)


def encoded(value: object) -> bytes:
    """JSON, with NaN where the value has it and surrogates as escapes."""
    return json.dumps(value).encode()


def request_json(**data: Any) -> dict[str, Any]:
    """A request that is good except for its missing id; its program does not exist."""
    job = {"image": "busybox", "command": ["/nonexistent/program"]}
    attributes = {"specversion": "1.0", "type": REQUESTED_TYPE, "source": "/garbage", "id": "g"}
    return {**attributes, "datacontenttype": "application/json", "data": {"job": job, **data}}


@st.composite
def structured(draw: st.DrawFn, body: SearchStrategy[bytes]) -> Message:
    return Message(draw(subjects), draw(body), draw(st.sampled_from([None, _STRUCTURED])))


random_bytes = structured(st.binary(max_size=300))
truncated = structured(
    st.integers(0, 200).map(lambda cut: encoded(request_json())[:cut]),
)
any_json = structured(wild_json.map(encoded))
nested = structured(
    st.builds(
        lambda depth, pair: pair[0] * depth + pair[1] * depth,
        st.integers(1, 60_000),
        st.sampled_from([(b"[", b"]"), (b'{"a":', b"}"), (b"[", b"")]),
    )
)
raw_surrogates = structured(st.just(encoded(request_json(id="x")).replace(b'"x"', b'"\xed\xa0\x80"')))

_FIELDS = ("id", "service", "retries", "startTimeout", "timeout", "tags", "metadata", "job", "webhook", "priority")
_JOB_FIELDS = (
    "prefixName", "namespace", "image", "args", "workingDir", "serviceAccount", "ttlSecondsAfterFinished",
    "backoffLimit", "activeDeadlineSeconds", "env", "envRef", "resources", "parallelism", "completions", "volumes",
)  # fmt: skip
_env = st.lists(st.fixed_dictionaries({"name": wild_text, "value": wild_text}), max_size=3)
_quantities = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]) | wild_text, wild_text, max_size=2)
_job_values = wild_json | _env | st.fixed_dictionaries({"limits": _quantities}) | st.integers(-2, 3)


@st.composite
def odd_data(draw: st.DrawFn) -> Message:
    """A request with arbitrary values in some fields."""
    event = request_json(id=draw(st.uuids().map(str)))
    data = event["data"]
    for field in draw(st.sets(st.sampled_from(_FIELDS), max_size=2)):
        data[field] = draw(wild_json)
    if isinstance(data["job"], dict):
        for field in draw(st.sets(st.sampled_from(_JOB_FIELDS), min_size=1, max_size=3)):
            data["job"][field] = draw(_job_values)
    return Message(draw(st.sampled_from(SUBJECTS[:3])), encoded(event), draw(st.sampled_from([None, _STRUCTURED])))


@st.composite
def odd_attributes(draw: st.DrawFn) -> Message:
    """A request or command with arbitrary values in some attributes, or with additional attributes."""
    event = request_json(id=draw(st.uuids().map(str)))
    event["type"] = draw(st.sampled_from([REQUESTED_TYPE, f"{CONTROL_TYPE}.cancel", "com.example.other"]) | wild_text)
    names = st.sampled_from(["id", "source", "specversion", "subject", "time", "replyto", "expirytime", "data_base64"])
    for name in draw(st.sets(names | wild_text, min_size=1, max_size=3)):
        event[name] = draw(wild_json)
    return Message(draw(subjects), encoded(event), draw(st.sampled_from([None, _STRUCTURED])))


_header_bytes = st.binary(max_size=60).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
_names = st.sampled_from(
    [b"ce-id", b"CE-ID", b"ce-source", b"ce-type", b"ce-specversion", b"ce-subject", b"ce-", b"ce-a b", b"Content-Type",
     b"content-type", b"jobrelay-attempts", b"jobrelay-not-before", b"jobrelay-code", b"Status", b"x"]
)  # fmt: skip
_values = st.sampled_from(
    [b"1.0", b"%", b"%zz", b"%ff", b"%00", b"a%", b"\xff\xfe", b"", b"h" * 20_000, b"application/json", b"999999",
     b"application/cloudevents-batch+json", b"application/cloudevents+json; charset=utf-16", b"text/plain", b"503"]
)  # fmt: skip


@st.composite
def odd_headers(draw: st.DrawFn) -> Message:
    """Binary mode, or nearly so, with headers that are repeated, huge or undecodable."""
    pairs = draw(st.lists(st.tuples(_names | _header_bytes, _values | _header_bytes), min_size=1, max_size=6))
    return Message(draw(subjects), draw(st.just(b"{}") | st.binary(max_size=50)), block(*pairs))


broken_blocks = st.builds(
    Message,
    subjects,
    st.binary(max_size=50),
    st.sampled_from(
        [
            b"NATS/1.0\r\n\r\n",
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/1.0\r\n: empty\r\n\r\n",
            b"NATS/1.0",
            b"GARBAGE\r\n\r\n",
            b"NATS/1.0 503\r\n\r\n",
            b"NATS/1.0 x y\r\nce-id: 1\r\n\r\n",
            b"\r\n",
            b"\0\0\0\0",
        ]
    ),
)

# Odd requests and headers are more likely to pass the first check.
garbage = st.one_of(
    *(random_bytes, truncated, any_json, nested, raw_surrogates, broken_blocks),
    *(odd_data(), odd_data(), odd_data(), odd_attributes(), odd_attributes(), odd_headers()),
)
