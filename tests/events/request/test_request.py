"""Job requests: which are well formed, and that all mistakes are reported at once, by path, without their values."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from events.cloudevent.event import InvalidEvent, decode_structured
from events.names import REQUESTED_TYPE
from events.problems import MAX_ERRORS, FieldError, InvalidRequest
from events.request.batch import MAX_DEADLINE, MAX_PARALLELISM, MAX_RETRIES
from events.request.container import OUR_ENV
from events.request.request import MAX_TIMEOUT, JobRequest, Request, parse_request
from events.request.rules import MAX_ECHO
from tests.events.samples import make_event, make_request_event


def parsed(**data: Any) -> JobRequest:
    return parse_request(make_request_event({"job": {"image": "busybox"}} | data))


def parsed_job(**job: Any) -> JobRequest:
    return parsed(job={"image": "busybox"} | job)


def errors(data: object, **attributes: object) -> dict[str, FieldError]:
    with pytest.raises(InvalidRequest) as caught:
        Request.of(make_request_event(data, **attributes))
    assert caught.value.code == "INVALID_REQUEST"
    return {error.path: error for error in caught.value.errors}


def job_errors(**job: Any) -> dict[str, FieldError]:
    return errors({"job": {"image": "busybox"} | job})


def test_smallest_request_gets_safe_defaults() -> None:
    request = parsed()
    assert request.job.image == "busybox"
    assert (request.job.command, request.job.args, request.job.env, request.job.env_ref) == ([], [], [], [])
    assert (request.job.parallelism, request.job.completions, request.backoff_limit) == (1, None, 0)
    assert (request.id, request.service, request.timeout, request.start_timeout) == (None, None, None, None)


def test_every_field_of_this_version_is_accepted() -> None:
    job = {
        "prefixName": "mail",
        "namespace": "team-a",
        "image": "example.com:5000/mail@sha256:abc",
        "command": ["sh", "-c"],
        "args": ["echo $(X)\n", ""],
        "workingDir": "/srv",
        "serviceAccount": "mail.sender",
        "ttlSecondsAfterFinished": 0,
        "backoffLimit": 2,
        "activeDeadlineSeconds": MAX_DEADLINE,
        "env": [{"name": "a.b-c d", "value": "x=y"}, {"name": "EMPTY"}],
        "envRef": [{"name": "settings", "type": "configmap"}, {"name": "keys", "type": "secret"}],
        "resources": {"limits": {"cpu": 1, "nvidia.com/gpu": "1"}, "requests": {"memory": "64Mi", "cpu": 0.5}},
        "parallelism": MAX_PARALLELISM,
        "completions": 5000,
    }
    data = {
        "id": "order 1",
        "service": "Mail_x.y",
        "job": job,
        "retries": 2,
        "startTimeout": 1,
        "timeout": MAX_TIMEOUT,
        "tags": ["a", ""],
        "metadata": {"x": {"y": [1, None]}},
    }
    request = parse_request(make_request_event(data))
    assert request.model_dump(by_alias=True, exclude_unset=True) == data | {
        "job": job
        | {"resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "1"}, "requests": {"memory": "64Mi", "cpu": "0.5"}}}
    }
    assert request.backoff_limit == 2


def test_request_id_is_the_id_in_the_data_else_that_of_the_event() -> None:
    with_id = Request.of(make_request_event({"id": "r1", "service": "mail", "job": {"image": "x"}}, source="/shop"))
    without = Request.of(make_request_event(id="e9", source="/shop"))
    assert (with_id.identity.source, with_id.identity.id, with_id.id, with_id.subject) == ("/shop", "r1", "r1", "r1")
    assert without.subject == "e9"
    assert with_id.service == "mail"


def test_same_identity_has_the_same_job_name_whatever_the_event() -> None:
    first = Request.of(make_request_event({"id": "r1", "job": {"image": "x"}}, id="e1"))
    second = Request.of(make_request_event({"id": "r1", "job": {"image": "x"}}, id="e2"))
    assert first.job_name == second.job_name
    assert first.job_name.startswith("job-")


@pytest.mark.parametrize(
    ("service", "prefix"),
    [
        ("mail", "mail"),
        ("Mail", "job"),
        ("a.b", "job"),
        (None, "job"),
        ("a" * 63, "a" * 32),
        (f"{'a' * 31}-b", "a" * 31),
    ],
)
def test_prefix_defaults_to_a_service_that_can_begin_a_name(service: str | None, prefix: str) -> None:
    assert parsed(service=service).name_prefix == prefix
    assert parsed(service=service, job={"image": "x", "prefixName": "own"}).name_prefix == "own"


def test_every_error_is_reported_at_once() -> None:
    found = errors(
        {
            "retries": "3",
            "timeout": 0,
            "job": {"env": [{"name": "A=B"}, {"value": 5}], "parallelism": 0, "resources": {"limits": {"cpu": "lots"}}},
            "tags": ["x" * MAX_ECHO],
            "extra": 1,
        },
        id=" padded ",
    )
    assert set(found) == {
        "retries",
        "timeout",
        "job.image",
        "job.env[0].name",
        "job.env[1].name",
        "job.env[1].value",
        "job.parallelism",
        "job.resources.limits.cpu",
        "metadata",
        "extra",
        "id",
    }


def test_message_is_one_readable_line() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed_job(parallelism=0, envRef=[{"name": "x", "type": "file"}])
    assert str(caught.value) == (
        "job.envRef[0].type must be 'configmap' or 'secret'; job.parallelism must be at least 1"
    )


def test_thousands_of_errors_are_counted_not_listed() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(**{f"field{number}": 1 for number in range(5000)})
    assert len(caught.value.errors) == MAX_ERRORS + 1
    assert caught.value.errors[-1].message == f"and {5000 - MAX_ERRORS} more errors"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("timout", "timeout"), ("start_timeout", "startTimeout"), ("STARTTIMEOUT", "startTimeout"), ("tag", "tags")],
)
def test_refusal_of_an_unknown_field_suggests_the_nearest_name(name: str, nearest: str) -> None:
    error = errors({"job": {"image": "x"}, name: 5})[name]
    assert error.message == f"is unknown, did you mean {nearest}?"
    assert error.allowed is None


@pytest.mark.parametrize(
    ("job", "path", "nearest"),
    [
        ({"imagee": "x"}, "job.imagee", "image"),
        ({"env": [{"nane": "x"}]}, "job.env[0].nane", "name"),
        ({"envRef": [{"typ": "x"}]}, "job.envRef[0].typ", "type"),
        ({"resources": {"limit": {}}}, "job.resources.limit", "limits"),
    ],
)
def test_refusal_of_an_unknown_nested_field_suggests_the_nearest_name(
    job: dict[str, Any], path: str, nearest: str
) -> None:
    assert job_errors(**job)[path].message == f"is unknown, did you mean {nearest}?"


def test_refusal_of_a_job_field_outside_job_says_where_it_belongs() -> None:
    assert "job.image" in errors({"image": "x", "job": {"image": "x"}})["image"].message


def test_refusal_of_a_field_with_no_near_name_lists_the_known_fields() -> None:
    error = errors({"job": {"image": "x"}, "qqq": 1})["qqq"]
    assert error.message == "is unknown"
    work = "id, service, job, retries, startTimeout, timeout, payload, tags, metadata"
    queue = "priority, exclusive, concurrency, dependencies, onDependencyFailure, dependencyTimeout"
    times = "schedule, timeZone, maxRuns, concurrencyPolicy, runAt, retryDelay, failover"
    assert error.allowed == f"{work}, {queue}, {times}"


def test_refusal_of_a_webhook_names_the_reply_topic() -> None:
    message = errors({"job": {"image": "x"}, "webhook": "https://example.com"})["webhook"].message
    assert "jobrelay.lifecycle.<service>.<id>.<phase>" in message
    assert "replyto" in message
    assert "example.com" not in message


@pytest.mark.parametrize("name", ["a\nb", "x" * 500, "ä ö", "\u202e", "[key]", ""])
def test_hostile_field_name_is_shown_short_and_printable(name: str) -> None:
    (path,) = errors({"job": {"image": "x"}, name: 1})
    assert path.isascii()
    assert path.isprintable()
    assert len(path) <= 80


@pytest.mark.parametrize(
    "job",
    [
        {"env": [{"name": "TOKEN", "value": ["s3cret"]}]},
        {"env": [{"name": "TOKEN", "value": "s3cret\x00"}]},
        {"env": [{"name": "s3cret=", "value": "x"}]},
        {"env": "s3cret"},
        {"image": "s3cret x"},
        {"args": [{"x": "s3cret"}]},
        {"parallelism": "s3cret"},
        {"resources": {"limits": {"cpu": "s3cret"}}},
        {"envRef": [{"name": "x", "type": "s3cret"}]},
    ],
)
def test_no_error_shows_a_value(job: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed_job(**job)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.errors)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("namespace", "Team"),
        ("namespace", "a.b"),
        ("namespace", "x" * 64),
        ("namespace", ""),
        ("prefixName", "x" * 33),
        ("prefixName", "-x"),
        ("prefixName", ""),
        ("prefixName", "a\n"),
        ("image", ""),
        ("image", " busybox"),
        ("image", "busy box"),
        ("image", "busybox\n"),
        ("image", "x" * 1025),
        ("image", None),
        ("command", "sh"),
        ("command", [1]),
        ("args", [None]),
        ("args", ["\x00"]),
        ("args", None),
        ("workingDir", ""),
        ("workingDir", "/a\x00"),
        ("serviceAccount", "A"),
        ("serviceAccount", "a..b"),
        ("ttlSecondsAfterFinished", -1),
        ("ttlSecondsAfterFinished", 2**31),
        ("backoffLimit", -1),
        ("backoffLimit", MAX_RETRIES + 1),
        ("activeDeadlineSeconds", 0),
        ("activeDeadlineSeconds", MAX_DEADLINE + 1),
        ("parallelism", 0),
        ("parallelism", MAX_PARALLELISM + 1),
        ("parallelism", "3"),
        ("parallelism", 3.0),
        ("parallelism", True),
        ("completions", 0),
        ("completions", 2**31),
        ("env", {"A": "b"}),
        ("envRef", ["settings"]),
        ("resources", "small"),
    ],
)
def test_ill_formed_field_of_the_job_is_refused(field: str, value: object) -> None:
    (path,) = job_errors(**{field: value})
    assert path.partition("[")[0] == f"job.{field}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", " x"),
        ("id", "a\tb"),
        ("id", "x" * 257),
        ("id", 5),
        ("service", ""),
        ("service", "-x"),
        ("service", "a b"),
        ("service", "_control"),
        ("service", "x" * 64),
        ("retries", -1),
        ("retries", MAX_RETRIES + 1),
        ("retries", 1.0),
        ("startTimeout", 0),
        ("startTimeout", MAX_DEADLINE + 1),
        ("timeout", 0),
        ("timeout", MAX_TIMEOUT + 1),
        ("timeout", "5m"),
        ("tags", "x"),
        ("tags", [1]),
        ("metadata", []),
        ("job", None),
        ("job", []),
        ("job", "x"),
    ],
)
def test_ill_formed_field_of_the_request_is_refused(field: str, value: object) -> None:
    (path,) = errors({"job": {"image": "x"}, field: value})
    assert path.partition("[")[0] == field


def test_metadata_keep_their_numbers_as_written() -> None:
    metadata = b'{"order":123456789012345678901234567890,"price":1.10,"count":3}'
    head = b'{"specversion":"1.0","id":"e1","source":"/t","type":"%s","data":' % REQUESTED_TYPE.encode()
    event = decode_structured(head + b'{"job":{"image":"x"},"metadata":' + metadata + b"}}")
    assert orjson.dumps(parse_request(event).metadata) == metadata


@pytest.mark.parametrize("metadata", [{"a": "\x00"}, {"\x00": 1}, {"a": [{"b": "\x00"}]}])
def test_nul_is_refused_however_deep(metadata: dict[str, Any]) -> None:
    assert any(path.startswith("metadata") for path in errors({"job": {"image": "x"}, "metadata": metadata}))


@pytest.mark.parametrize(
    "quantity",
    [
        "1",
        "0",
        "500m",
        "0.5",
        ".5",
        "1.",
        "128Mi",
        "1e3",
        "1E3",
        "1E",
        "2k",
        "100n",
        "+1",
        2,
        0.25,
        "9E",
        "7Ei",
        "1e18",
        "1e-999",
    ],
)
def test_quantity_that_kubernetes_accepts_is_accepted(quantity: object) -> None:
    assert parsed_job(resources={"limits": {"cpu": quantity}}).job.resources.limits == {"cpu": str(quantity)}


@pytest.mark.parametrize(
    "quantity", ["", "-1", "1mi", "1KB", "Mi", "1 Gi", "1e", "0x1", "1,5", "٣", "1\n", None, True, [], "1" * 65]
)
def test_quantity_that_kubernetes_refuses_is_refused(quantity: object) -> None:
    assert set(job_errors(resources={"limits": {"cpu": quantity}})) == {"job.resources.limits.cpu"}


@pytest.mark.parametrize("quantity", ["1e19", "1e999", "10E", "10Ei", "1" * 20, "1" * 64])
def test_quantity_beyond_what_kubernetes_counts_is_refused(quantity: str) -> None:
    (error,) = job_errors(resources={"limits": {"cpu": quantity}}).items()
    assert error == ("job.resources.limits.cpu", error[1])


@pytest.mark.parametrize("name", ["cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "nvidia.com/gpu"])
def test_resource_known_to_kubernetes_or_with_a_domain_is_accepted(name: str) -> None:
    assert name in parsed_job(resources={"requests": {name: "1"}}).job.resources.requests


@pytest.mark.parametrize("name", ["gpu", "", "CPU", "/x", "a/b/c", "nvidia.com/"])
def test_any_other_resource_is_refused(name: str) -> None:
    assert job_errors(resources={"requests": {name: "1"}})


def test_variable_given_twice_is_refused() -> None:
    assert "twice" in job_errors(env=[{"name": "A"}, {"name": "A", "value": "x"}])["job.env"].message


@pytest.mark.parametrize("name", sorted(OUR_ENV))
def test_variable_that_jobrelay_sets_is_refused(name: str) -> None:
    assert name in job_errors(env=[{"name": name, "value": "x"}])["job.env"].message


@pytest.mark.parametrize("name", ["", "A=B", "ä", "A\n", "\x7f", "x" * 1025])
def test_variable_name_is_printable_ascii_without_equals_sign(name: str) -> None:
    assert set(job_errors(env=[{"name": name}])) == {"job.env[0].name"}


def test_retries_and_backoff_limit_are_one_setting() -> None:
    assert parsed(retries=3).backoff_limit == 3
    assert parsed_job(backoffLimit=4).backoff_limit == 4
    assert parsed(retries=0, job={"image": "x", "backoffLimit": 0}).backoff_limit == 0
    assert "differs" in errors({"retries": 1, "job": {"image": "x", "backoffLimit": 0}})["retries"].message


def test_tags_alone_may_fill_the_limit_to_the_last_byte() -> None:
    full = "x" * (MAX_ECHO - len('[""]'))
    assert parsed(tags=[full]).tags == [full]
    assert set(errors({"job": {"image": "x"}, "tags": [full + "x"]})) == {"metadata"}


def test_tags_and_metadata_share_a_limit() -> None:
    half = "x" * (MAX_ECHO // 2 - 20)
    assert parsed(tags=[half], metadata={"a": half}).tags == [half]
    assert str(MAX_ECHO) in str(
        errors({"job": {"image": "x"}, "tags": [half], "metadata": {"a": half + "x" * 50}})["metadata"]
    )


def test_event_id_is_used_only_if_it_could_be_a_request_id() -> None:
    assert "the event's id" in errors({"job": {"image": "x"}}, id="x" * 257)["id"].message
    assert Request.of(make_request_event({"id": "r1", "job": {"image": "x"}}, id="x" * 257)).id == "r1"


def test_event_of_another_type_is_no_request() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(make_event({"job": {"image": "x"}}))
    assert caught.value.errors == (FieldError("type", "is no job request", allowed=REQUESTED_TYPE),)


@pytest.mark.parametrize("data", [[], "x", 5, True, b"[]"])
def test_data_that_is_no_object_is_one_error(data: object) -> None:
    assert set(errors(data)) == {"data"}


def test_absent_data_is_one_error() -> None:
    with pytest.raises(InvalidRequest, match="data is missing"):
        parse_request(make_event(type=REQUESTED_TYPE))


def test_content_type_other_than_json_is_one_error() -> None:
    assert set(errors(b"image: x", datacontenttype="application/yaml")) == {"datacontenttype"}


def test_json_in_base64_is_read() -> None:
    event = make_request_event(b'{"job":{"image":"x"}}', datacontenttype="application/json")
    assert parse_request(event).job.image == "x"
    assert set(errors(b"{")) == {"data"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = [field.alias or name for name, field in JobRequest.model_fields.items()]


@given(st.dictionaries(st.sampled_from(names) | st.text(max_size=5), anything), st.booleans())
def test_any_object_is_a_request_or_refused_with_its_errors(data: dict[str, Any], complete: bool) -> None:
    try:
        event = make_request_event(json.loads(json.dumps(data)) | ({"job": {"image": "x"}} if complete else {}))
    except InvalidEvent:
        return  # The data has an integer of more than 64 bits.
    try:
        outcome: object = Request.of(event).job_name
    except InvalidRequest as error:
        outcome = error.errors
    assert outcome
