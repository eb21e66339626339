"""The JSON Schemas accept what jobrelay accepts and sends, and reject what a schema can tell is wrong."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from events.cloudevent.event import decode_structured
from events.contract.data import ANSWERS, DETAILS
from events.contract.models import function_models, lifecycle_models, request_models
from events.contract.schema import BARE, NAMES, schema_of
from events.functions.file import InvalidFunctions
from events.jobs.observed import Job
from events.lifecycle.events import lifecycle_event
from events.request.control import parse_control
from events.request.request import JobRequest, Request
from handler.cli.main import main
from handler.intake.functions import load
from tests.events.contract.declared import undeclared
from tests.events.lifecycle.test_traces import SEEN, watched
from tests.events.samples import make_job
from tests.paths import DEMO, ROOT

HOSTILE: list[dict[str, Any]] = json.loads((ROOT / "tests" / "hostile" / "requests.json").read_text())
READABLE = [case for case in HOSTILE if case["code"] != "INVALID_EVENT"]
ALL = [(name, data) for name in NAMES for data in (False, True) if not (data and name in BARE)]


@pytest.mark.parametrize(("name", "data"), ALL)
def test_schema_is_valid_described_and_has_valid_examples(name: str, data: bool) -> None:
    schema = schema_of(name, data=data)
    Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert schema["description"]
    for example in schema["examples"]:
        Draft202012Validator(schema).validate(example)
    assert schema["$id"].endswith(f"/{name}{'-data' if data else ''}.json")


def test_examples_in_schemas_are_what_jobrelay_accepts_and_sends() -> None:
    request, command, lifecycle, file = (
        schema_of(name)["examples"][0] for name in ("request", "control", "lifecycle", "functions")
    )
    assert Request.of(decode_structured(json.dumps(request).encode())).id == "invoice-4711"
    assert parse_control(decode_structured(json.dumps(command).encode())).subject == "invoice-4711"
    assert undeclared(lifecycle["type"], lifecycle["data"]) == []
    assert [function.name for function in load(json.dumps(file).encode(), ())] == ["thumbnail"]


def test_no_two_schemas_share_an_id() -> None:
    assert len({schema_of(name, data=data)["$id"] for name, data in ALL}) == len(ALL)


@pytest.mark.parametrize("name", BARE)
def test_events_without_data_have_no_data_schema(name: str) -> None:
    with pytest.raises(ValueError, match="no data"):
        schema_of(name, data=True)


@pytest.mark.parametrize("case", READABLE, ids=lambda case: str(case["name"]))
def test_hostile_request_is_rejected_when_a_schema_can_tell(case: dict[str, Any]) -> None:
    valid = Draft202012Validator(schema_of("request", data=True)).is_valid(case["data"])
    assert valid is not case["schema"]


def test_schema_rejects_most_invalid_requests() -> None:
    invalid = [case for case in READABLE if case["code"] == "INVALID_REQUEST"]
    assert sum(case["schema"] for case in invalid) >= 15
    assert not any(case["schema"] for case in READABLE if case["code"] != "INVALID_REQUEST")


@pytest.mark.parametrize("file", sorted(DEMO.glob("*.yaml")), ids=lambda file: file.stem)
def test_requests_of_the_demo_are_valid_except_the_misspelt_request(file: Path) -> None:
    document = yaml.safe_load(file.read_text())
    schema = schema_of("request", data="specversion" not in document)
    assert Draft202012Validator(schema).is_valid(document) is (file.stem != "typo")


@pytest.mark.parametrize(
    ("job", "valid"),
    [
        ({"nodeSelector": {"matchKey": "kubernetes.io/os", "matchValue": "linux"}}, True),
        ({"nodeSelector": {"kubernetes.io/os": "linux", "zone": ""}}, True),
        ({"nodeSelector": {"-zone": "a"}}, False),
        ({"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}, True),
        ({"resources": {"limits": {"cpu": "two"}}}, False),
        ({"volumes": [{"mountPath": "/a", "pvc": "a", "secret": None}]}, True),
        ({"volumes": [{"mountPath": "/a", "pvc": "a", "secret": "b"}]}, False),
        ({"volumes": [{"mountPath": "/a"}]}, False),
        ({"successPolicy": {"rules": [{"succeededIndexes": "0,2-4"}]}}, True),
        ({"successPolicy": {"rules": [{"succeededIndexes": "0-"}]}}, False),
        ({"successPolicy": {"rules": [{}]}}, False),
        ({"podFailurePolicy": {"rules": [{"action": "Ignore"}]}}, False),
        ({"securityContext": {"runAsNonRoot": True}}, True),
        ({"securityContext": {"runAsNonRoot": False}}, False),
        ({"env": [{"name": "CE_ID", "value": "x"}]}, False),
    ],
)
def test_schema_and_model_agree(job: dict[str, Any], valid: bool) -> None:
    data = {"job": {"image": "a", **job}}
    assert Draft202012Validator(schema_of("request", data=True)).is_valid(data) is valid
    assert accepts(data) is valid


def accepts(data: dict[str, Any]) -> bool:
    try:
        JobRequest.model_validate(data)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("models", [request_models, lifecycle_models, function_models])
def test_every_field_says_what_it_means(models: Any) -> None:
    bare = [
        f"{name}.{field}"
        for name, schema in models().items()
        if not name.endswith("Data")
        for field, inner in schema["properties"].items()
        if not inner.get("description")
    ]
    assert bare == []


def test_every_model_says_what_it_is() -> None:
    models: list[type[BaseModel]] = [*DETAILS.values(), *ANSWERS.values()]
    assert all((model.__doc__ or "").strip() for model in models)
    assert all(schema.get("description") for schema in request_models().values())


def function(**changes: Any) -> dict[str, Any]:
    spec = {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": spec, **changes.pop("job", {})}
    return {"name": "a", "filters": [{"exact": {"type": "t"}}], "job": job, **changes}


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({}, True),
        ({"filters": [{"not": {"any": [{"prefix": {"source": "/a"}}, {"suffix": {"subject": "b"}}]}}]}, True),
        ({"filters": [{"exact": {"type": "t"}, "prefix": {"source": "/a"}}]}, False),
        ({"filters": [{"exact": {"data": "t"}}]}, False),
        ({"filters": [{"exact": {}}]}, False),
        ({"filters": [{"sql": "type = 'a'"}]}, False),
        ({"queue": {"priority": 5, "concurrency": {"key": "{data.tenant}", "limit": 2}}}, True),
        ({"queue": {"priority": -1}}, False),
        ({"queue": {"runAt": "2026-01-01T00:00:00Z"}}, False),
        ({"name": "Not A Name"}, False),
        ({"env": {"A": "{data.a:-b}"}}, True),
        ({"env": {"A": 1}}, False),
        ({"job": {"kind": "CronJob"}}, False),
        ({"startTimeout": 5, "timeout": 60, "tags": ["{id}"], "metadata": {"a": ["{data.x:-}", 1]}}, True),
        ({"startTimeout": 0}, False),
        ({"timeout": 31_536_001}, False),
        ({"tags": [1]}, False),
        ({"metadata": []}, False),
        ({"job": {"metadata": {"name": "rendered", "labels": {"app.kubernetes.io/managed-by": "Helm"}}}}, True),
        ({"job": {"metadata": {"ownerReferences": []}}}, False),
        ({"job": {"spec": {}}}, False),
        ({"job": {"spec": {"template": {"spec": {"containers": []}}}}}, False),
        ({"job": {"status": {}}}, False),
    ],
)
def test_schema_of_functions_agrees_with_what_is_loaded(changes: dict[str, Any], valid: bool) -> None:
    document = {"functions": [function(**changes)]}
    assert Draft202012Validator(schema_of("functions")).is_valid(document) is valid
    if valid:
        load(yaml.safe_dump(document).encode(), ("default",))
    else:
        with pytest.raises(InvalidFunctions):
            load(yaml.safe_dump(document).encode(), ("default",))


@pytest.mark.parametrize("scenario", SEEN)
def test_events_about_recorded_jobs_are_as_declared(scenario: str) -> None:
    validator = Draft202012Validator(schema_of("lifecycle"))
    job: Job = make_job()
    for transition in watched(scenario).values():
        event = lifecycle_event(job, transition)
        assert undeclared(event.get_type(), event.get_data()) == []
        attributes = {**event.get_attributes(), "time": "2026-11-22T00:00:00Z"}
        validator.validate(json.loads(json.dumps({**attributes, "data": event.get_data()})))


def test_undeclared_finds_what_the_contract_does_not_declare() -> None:
    data = {"id": "r", "status": 1, "detail": {"phase": "created", "attempt": 1, "jobId": "u", "job": "n"}}
    found = " ".join(undeclared("dev.jobrelay.job.created", data))
    for word in ("status 1", "detail.job:", "detail.jobName:", "detail.namespace:"):
        assert word in found
    error = {"errorCode": "CANCELLED", "message": "m"}
    stalled = {"id": "r", "status": 99, "detail": {"phase": "stalled", "attempt": 1, "error": error}}
    assert undeclared("dev.jobrelay.job.stalled", stalled) == ["dev.jobrelay.job.stalled: errorCode CANCELLED"]
    assert not Draft202012Validator(schema_of("lifecycle", data=True)).is_valid({"id": "r", "status": 1, "detail": {}})


def test_schema_lets_later_versions_add_fields_to_what_jobrelay_sends() -> None:
    detail = {"phase": "started", "attempt": 1, "podId": "u", "podName": "p", "node": None, "later": 1}
    data = {"id": "r", "status": 1, "detail": detail}
    Draft202012Validator(schema_of("lifecycle", data=True)).validate(data)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_command_prints_the_schema(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "request", "-o", form]) == 0
    printed = capsys.readouterr().out
    assert (json.loads(printed) if form == "json" else yaml.safe_load(printed)) == schema_of("request")


def test_command_says_that_control_events_have_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "control", "--data"]) == 2
    assert "no data" in capsys.readouterr().err


def patterns(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        yield from part.get("patternProperties", {})
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from patterns(inner)


def test_patterns_are_valid_in_ecma_262() -> None:
    """JSON Schema prescribes the regular expressions of ECMA-262, with Unicode: any language may read the schemas."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    found = sorted({pattern for name in NAMES for pattern in patterns(schema_of(name))})
    assert len(found) > 10
    script = 'JSON.parse(require("fs").readFileSync(0)).forEach((pattern) => new RegExp(pattern, "u"))'
    subprocess.run([node, "-e", script], input=json.dumps(found), text=True, check=True, timeout=60)
    broken = subprocess.run([node, "-e", script], input='["(?P<a>b)"]', text=True, check=False, capture_output=True)
    assert broken.returncode
