"""For any JSON data: the bytes in the event that a container gets are the bytes published, in either mode."""

import asyncio
import base64
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings, strategies as st

from adapters.servers import nats as natsserver
from events.cloudevent.binding import from_amqp, from_nats
from events.functions.file import parse_functions
from events.functions.functions import Call
from events.names import REQUESTED_TYPE, Annotation
from events.request.request import Request
from k8s.manifests.function import render_call
from k8s.manifests.job import render
from k8s.manifests.options import ManifestOptions
from tests.garbage.wire import block, wire
from tests.handler.intake.functions import make_function
from tests.interop.documents import documents, numbers, spaces, times, values
from tests.interop.running import SEEN, SUBJECT, leaving, site
from tests.long import examples

OPTIONS = ManifestOptions(namespace="default", broker="nats", inline_bytes=1 << 20)
REQUIRED = {"specversion": "1.0", "id": "e1", "source": "/tests", "type": "com.example.made"}
pytestmark = pytest.mark.stricter
MANY, RUN = examples(400), examples(24)
"""How many examples are tried; `RUN`: of those that run in a container."""

attributes = st.builds(lambda time, value: REQUIRED | {"time": time, "extension": value}, times, values.filter(bool))


def in_container(event: CloudEvent) -> bytes:
    """The file with the event, as the manifest of a function's Job has it."""
    (function,) = parse_functions({"functions": [make_function("f", filters=[])]})
    rendered = render_call(Call.of(function, event), options=OPTIONS)
    inline: str = rendered.job["spec"]["template"]["metadata"]["annotations"][Annotation.EVENT]
    assert inline.encode() == rendered.event, "a Secret has the same bytes"
    return rendered.event


def structured(known: Mapping[str, str], data: str, space: str) -> bytes:
    """An event in the JSON format, its data between its attributes."""
    members = [f"{json.dumps(name)}:{space}{json.dumps(value, ensure_ascii=False)}" for name, value in known.items()]
    members.insert(2, f'"data"{space}:{space}{data}{space}')
    return (space + "{" + f",{space}".join(members) + "}" + space).encode()


def on_nats(known: Mapping[str, str], content_type: str) -> dict[str, str]:
    """Headers of the binary mode on NATS: percent-encoded."""
    return {f"ce-{name}": quote(value, safe="/:+") for name, value in known.items()} | {"Content-Type": content_type}


def on_rabbitmq(known: Mapping[str, str]) -> dict[str, object]:
    return {f"cloudEvents_{name}": value for name, value in known.items()}


def assert_data(file: bytes, body: bytes, known: Mapping[str, str]) -> None:
    """The file is a JSON object with these attributes, and its data are these bytes."""
    before, data, after = file.partition(b'"data":' + body)
    assert data, file
    assert json.loads(before + b'"data":null' + after) == {**known, "data": None}


@given(known=attributes, data=documents, space=spaces)
@settings(max_examples=MANY)
def test_the_file_of_a_structured_event_is_what_was_sent(known: dict[str, str], data: str, space: str) -> None:
    body = structured(known | {"datacontenttype": "application/json"}, data, space)
    assert in_container(from_nats({"Content-Type": "application/cloudevents+json"}, body)) == body
    assert in_container(from_nats({}, body)) == body
    assert in_container(from_amqp({}, "text/plain", body)) == body


@given(known=attributes, data=documents, space=spaces)
@settings(max_examples=MANY)
def test_the_data_of_a_binary_event_are_the_body_that_was_sent(known: dict[str, str], data: str, space: str) -> None:
    body = f"{space}{data}{space}".encode()
    wanted = known | {"datacontenttype": "application/json"}
    assert_data(in_container(from_nats(on_nats(known, "application/json"), body)), body, wanted)
    assert_data(in_container(from_amqp(on_rabbitmq(known), "application/json", body)), body, wanted)


@given(known=attributes, data=documents.filter(lambda data: "\\u0000" not in data), space=spaces)
@settings(max_examples=MANY)
def test_the_file_of_a_job_request_is_what_was_sent(known: dict[str, str], data: str, space: str) -> None:
    request = f'{{"job":{space}{{"image":"busybox"}},"metadata":{{"any":{space}{data}}}}}'
    body = structured(known | {"type": REQUESTED_TYPE}, request, space)
    assert render(Request.of(from_nats({}, body)), options=OPTIONS).event == body


@given(
    body=st.binary(min_size=1, max_size=40) | documents.map(str.encode),
    content_type=st.sampled_from(["application/avro", "text/plain", "text/plain; charset=iso-8859-1", "text/xml", ""]),
)
@settings(max_examples=MANY)
def test_data_that_are_no_json_keep_their_bytes(body: bytes, content_type: str) -> None:
    file = json.loads(in_container(from_amqp(on_rabbitmq(REQUIRED), content_type or None, body)))
    if "data_base64" in file:
        assert base64.b64decode(file["data_base64"]) == body
    else:
        charset = "iso-8859-1" if "8859" in content_type else "utf-8"
        assert file["data"].encode(charset) == body


@given(number=numbers)
@settings(max_examples=MANY)
def test_a_variable_shows_a_number_as_it_was_written(number: str) -> None:
    (function,) = parse_functions(
        {"functions": [make_function("f", filters=[], env={"N": "{data.n}", "L": "{data.l}"})]}
    )
    body = f'{{"n": {number}, "l": [{number}]}}'.encode()
    for event in (
        from_amqp(on_rabbitmq(REQUIRED), "application/json", body),
        from_nats({}, structured(REQUIRED, body.decode(), " ")),
    ):
        assert Call.of(function, event).env == {"N": number, "L": f"[{number}]"}


@pytest.mark.broker
async def test_a_container_reads_the_bytes_that_were_published(tmp_path: Path) -> None:
    ids = itertools.count(1)
    loop = asyncio.get_running_loop()
    leaves = leaving(f"{tmp_path / SEEN}/$CE_ID")
    functions = [
        make_function("inline", script=leaves, filters=[{"prefix": {"id": "structured-"}}]),
        make_function("secret", script=leaves, filters=[{"prefix": {"id": "binary-"}}], payload="secret"),
    ]
    async with (
        natsserver.run(tmp_path / "nats") as server,
        site(server.url, tmp_path, functions) as running,
        wire(server.url) as socket,
    ):

        @given(known=attributes, data=documents, space=spaces)
        @settings(max_examples=RUN, database=None)
        def example(known: dict[str, str], data: str, space: str) -> None:
            asyncio.run_coroutine_threadsafe(sent(known, data, space), loop).result()

        async def sent(known: dict[str, str], data: str, space: str) -> None:
            number = next(ids)
            inside, outside = known | {"id": f"structured-{number}"}, known | {"id": f"binary-{number}"}
            body = structured(inside, data, space)
            await socket.publish(SUBJECT, body)
            headers = on_nats(outside, "application/json").items()
            await socket.publish(
                SUBJECT, data.encode(), block(*((name.encode(), text.encode()) for name, text in headers))
            )
            assert (await running.ran(inside["id"])).file == body
            file = (await running.ran(outside["id"])).file
            assert_data(file, data.encode(), outside | {"datacontenttype": "application/json"})

        # In a thread, so that a single loop serves all examples.
        await asyncio.to_thread(example)
