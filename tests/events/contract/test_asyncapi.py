"""The AsyncAPI document: valid by AsyncAPI's own schema, no reference dangles, and it says what the brokers have."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from adapters.asyncapi import asyncapi
from adapters.base import Kind, Topic
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.topology import StreamNames, streams
from adapters.rabbitmq.topology import QueueNames, exchanges
from adapters.topics import lanes_of
from events.phases import Phase
from handler.cli.main import main
from tests.events.contract.node import node_modules
from tests.events.contract.samples import REQUESTS, example

DOCUMENT = asyncapi(version="1.2.3")


def test_document_is_valid_by_the_official_schema() -> None:
    file = node_modules() / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    validator = Draft7Validator(json.loads(file.read_text()))
    validator.validate(json.loads(json.dumps(DOCUMENT)))
    # The schema does reject mistakes.
    assert not validator.is_valid({**DOCUMENT, "channel": {}})
    assert not validator.is_valid({**DOCUMENT, "channels": {"a": {"adress": "b"}}})


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def found(reference: str) -> Any:
    place: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        place = place[name]
    return place


def test_every_reference_resolves() -> None:
    everything = set(references(DOCUMENT))
    assert len(everything) > 50
    for reference in everything:
        assert isinstance(found(reference), dict), reference


def test_parameters_are_exactly_the_placeholders_of_the_address() -> None:
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))


def test_operations_use_the_messages_of_their_channels() -> None:
    assert set(DOCUMENT["operations"]) == set(DOCUMENT["channels"])
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
        name = channel.rpartition("/")[2]
        assert (operation["action"] == "receive") is name.endswith(("Requests", "High", "Low", "Control"))


def test_subjects_are_those_of_the_streams() -> None:
    names = StreamNames("jobrelay")
    declared = streams(names, max_payload=1 << 20, options=JetStreamOptions())
    patterns = {stream.name: stream.config["subjects"] for stream in declared}
    channels = [channel for name, channel in DOCUMENT["channels"].items() if name.startswith("nats")]
    for channel in channels:
        subjects: Any = patterns[channel["x-jetstream"]["stream"]]
        assert any(re.fullmatch(re.escape(subject).replace(">", ".+"), channel["address"]) for subject in subjects)
    queued = {names.subject(lane) for kind in (Kind.REQUESTS, Kind.CONTROL) for lane in lanes_of(kind)}
    assert queued <= {channel["address"] for channel in channels}


def test_exchanges_are_those_that_are_declared() -> None:
    declared = {exchange.name: exchange.kind for exchange in exchanges(QueueNames("jobrelay"))}
    bindings = [channel["bindings"]["amqp"] for channel in DOCUMENT["channels"].values() if "bindings" in channel]
    used = {binding["exchange"]["name"]: binding["exchange"]["type"] for binding in bindings if "exchange" in binding}
    assert used == {name: declared[name] for name in used}
    assert set(used) == {f"jobrelay.{kind}" for kind in (Kind.REQUESTS, Kind.CONTROL, Kind.LIFECYCLE)}
    assert {binding["queue"]["name"] for binding in bindings if "queue" in binding} == {
        QueueNames("jobrelay").queue(Topic(Kind.DEAD))
    }


def test_every_phase_is_a_message_of_the_lifecycle() -> None:
    messages = set(DOCUMENT["channels"]["natsLifecycle"]["messages"])
    assert messages == {f"Job{phase.title()}" for phase in Phase}
    assert messages == set(DOCUMENT["channels"]["rabbitmqLifecycle"]["messages"])


@pytest.mark.parametrize("name", REQUESTS)
def test_payload_schema_of_requests_accepts_the_examples(name: str) -> None:
    payload = DOCUMENT["components"]["messages"]["JobRequestEvent"]["payload"]
    validator = Draft202012Validator({**payload, "components": DOCUMENT["components"]})
    validator.validate(example(name))
    assert not validator.is_valid({**example(name), "data": {"webhook": "x"}})


def test_another_installation_has_its_own_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["asyncapi", "--instance", "teama"]) == 0
    document = yaml.safe_load(capsys.readouterr().out)
    assert document["channels"]["natsRequests"]["address"] == "teama.requests"
    assert document["channels"]["natsRequests"]["x-jetstream"] == {"stream": "TEAMA_REQUESTS"}
    assert document["channels"]["rabbitmqDead"]["address"] == "teama.dead"
    assert "jobrelay.requests" not in json.dumps(document["channels"])


def test_a_bad_instance_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["asyncapi", "--instance", "A b"]) == 2
    assert "instance" in capsys.readouterr().err


def test_json_output_is_the_same_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["asyncapi", "-o", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {**printed, "info": None} == {**json.loads(json.dumps(DOCUMENT)), "info": None}
