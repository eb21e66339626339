"""Which error a failed answer becomes: answers recorded from a real API server, and those of proxies before it."""

import json
from typing import Any

import pytest

from k8s.api.answers import failure
from k8s.base import Cause, Conflict, Expired, KubernetesError, NotFound, QuotaExceeded, Refused, Unavailable
from tests.k8s.server import status
from tests.paths import TRACES


def recorded(scenario: str) -> list[KubernetesError]:
    """The errors that the failed answers of a recorded scenario become."""
    steps: list[Any] = json.loads((TRACES / f"{scenario}.json").read_text())["steps"]
    return [
        failure(
            step["request"]["method"],
            step["response"]["status"],
            headers={},
            body=json.dumps(step["response"]["body"]).encode(),
        )
        for step in steps
        if step["response"]["status"] >= 400
    ]


def made(code: int, body: object, *, method: str = "GET", headers: dict[str, str] | None = None) -> KubernetesError:
    raw = body if isinstance(body, str) else json.dumps(body)
    return failure(method, code, headers=headers or {}, body=raw.encode())


def test_recorded_authentication_and_rbac_errors_are_not_the_requests_fault() -> None:
    assert [type(error) for error in recorded("auth-errors")] == [Unavailable] * 4


def test_recorded_terminating_namespace_is_unavailable() -> None:
    (error,) = recorded("namespace-terminating")
    assert isinstance(error, Unavailable)
    assert error.cause is Cause.NAMESPACE
    assert "because it is being terminated" in str(error)


def test_recorded_missing_namespace_is_told_from_a_server_that_is_away() -> None:
    (error,) = (error for error in recorded("create-invalid") if isinstance(error, Unavailable))
    assert error.cause is Cause.NAMESPACE


@pytest.mark.parametrize(("code", "cause"), [(401, Cause.SERVER), (429, Cause.SERVER), (503, Cause.UNKNOWN)])
def test_what_an_answer_says_of_the_server(code: int, cause: Cause) -> None:
    error = made(code, status(code, "No"), method="POST")
    assert isinstance(error, Unavailable)
    assert error.cause is cause


@pytest.mark.parametrize(
    "text",
    [
        "etcdserver: request is too large",
        "Internal error occurred: etcdserver: request is too large",
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2201356 vs. 2097152)",
        "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (3 vs. 2)",
    ],
)
def test_an_object_too_large_for_the_storage_is_refused_for_good(text: str) -> None:
    error = made(500, status(500, "", text), method="POST")
    assert isinstance(error, Refused)
    assert error.status == 413
    quoting = f'Internal error occurred: failed calling webhook "w": {text}'
    assert isinstance(made(500, status(500, "InternalError", quoting), method="POST"), Unavailable)


POLICY = """jobs.batch "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"""


@pytest.mark.parametrize("text", ['admission webhook "w" denied the request: no', POLICY])
@pytest.mark.parametrize("code", [400, 401, 404, 409, 410, 418])
def test_what_admission_denies_is_about_this_request_whatever_status_it_chose(code: int, text: str) -> None:
    error = made(code, status(code, "Unauthorized", text), method="POST")
    assert isinstance(error, Refused)
    assert error.status == (400 if code == 400 else 403)


@pytest.mark.parametrize("code", [429, 500, 503])
def test_admission_that_denies_for_now_says_nothing_of_the_server(code: int) -> None:
    error = made(code, status(code, "No", 'admission webhook "w" denied the request: later'), method="POST")
    assert isinstance(error, Unavailable)
    assert error.cause is Cause.UNKNOWN


def test_recorded_quota_error_may_pass_later() -> None:
    (error,) = recorded("quota-exceeded")
    assert isinstance(error, QuotaExceeded)


def test_recorded_second_create_is_a_conflict() -> None:
    (error,) = recorded("create-twice-conflicts")
    assert isinstance(error, Conflict)


def test_recorded_lease_errors_are_not_found_and_conflicts() -> None:
    assert [type(error) for error in recorded("lease")] == [NotFound, Conflict, Conflict]


def test_recorded_invalid_objects_are_refused_with_their_causes() -> None:
    errors = recorded("create-invalid")
    refused = [error for error in errors if isinstance(error, Refused)]
    assert [type(error) for error in errors if error not in refused] == [Unavailable], "only the missing namespace"
    assert {error.status for error in refused} == {400, 422}
    fields = {field for error in refused for field, _ in error.causes}
    assert {"metadata.name", "spec.backoffLimit", "spec.template.spec.containers[0].image"} <= fields


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u20ac", "\U0001f433"])
def test_an_errors_text_is_two_kibibytes_of_whole_characters_on_one_line(letter: str) -> None:
    assert all("\n" not in str(error) for error in recorded("create-invalid"))
    whole = letter * (2048 // len(letter.encode()))
    assert str(made(500, status(500, "InternalError", whole))) == f"500 {whole}"
    # What has to be done stands at the end: the middle is left out.
    long = f"first {whole}\n{whole} last"
    for error in (made(500, status(500, "InternalError", long)), made(422, status(422, "Invalid", long))):
        told = str(error).removeprefix("500 ").removeprefix("422 ")
        assert (told[:7], told[-6:]) == (f"first {letter}", f"{letter} last")
        assert " … " in told
        assert 2040 <= len(told.encode()) <= 2048
        assert set(told) <= set(f"first last…{letter}")
    refused = made(422, status(422, "Invalid", causes=[{"field": "spec", "message": long}]))
    assert isinstance(refused, Refused)
    assert refused.causes[0][1].endswith(f"{letter} last")


def test_more_causes_than_anybody_reads_are_counted() -> None:
    causes = [{"field": f"spec.{number}", "message": "wrong"} for number in range(60)]
    refused = made(422, status(422, "Invalid", causes=causes))
    assert isinstance(refused, Refused)
    assert refused.causes[49:] == (("spec.49", "wrong"), ("", "and 10 more errors"))


@pytest.mark.parametrize("code", [301, 401, 408, 429, 500, 502, 503, 504])
def test_server_errors_are_unavailable(code: int) -> None:
    assert isinstance(made(code, "<html>sorry</html>"), Unavailable)


@pytest.mark.parametrize("code", [400, 405, 413, 415, 422])
def test_what_the_server_will_never_accept_is_refused(code: int) -> None:
    error = made(code, status(code, "Bad"))
    assert isinstance(error, Refused)
    assert error.status == code


def test_admission_controllers_403_is_refused_whatever_it_quotes() -> None:
    quoting = 'jobs.batch "x" is forbidden: image "is forbidden: User "a" cannot create" is not allowed'
    assert isinstance(made(403, status(403, "Forbidden", quoting), method="POST"), Refused)
    webhook = 'admission webhook "w" denied the request: exceeded quota: no'
    assert isinstance(made(403, status(403, "Forbidden", webhook), method="POST"), Refused)


def test_403_that_is_not_from_kubernetes_is_unavailable() -> None:
    assert isinstance(made(403, "<html>blocked by proxy</html>"), Unavailable)


def test_conflict_about_a_quota_is_no_conflict_about_the_name() -> None:
    text = 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'
    assert isinstance(made(409, status(409, "Conflict", text), method="POST"), Unavailable)
    assert isinstance(made(409, status(409, "Conflict", text), method="PATCH"), Conflict)


def test_404_without_a_name_is_a_wrong_server_not_a_missing_object() -> None:
    assert isinstance(made(404, "404 page not found"), Unavailable)
    assert isinstance(made(404, status(404, "NotFound", name="x", kind="jobs")), NotFound)


def test_410_is_expired() -> None:
    assert isinstance(made(410, status(410, "Expired")), Expired)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, "", 7.0),
        ({"retry-after": "Sun, 22 Nov 2026 00:00:30 GMT", "date": "Sun, 22 Nov 2026 00:00:00 GMT"}, "", 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 00:00:00 GMT", "date": "Sun, 22 Nov 2026 00:00:30 GMT"}, "", 0.0),
        ({"retry-after": "soon"}, "", None),
        ({}, status(429, "TooManyRequests", retryAfterSeconds=3), 3.0),
        ({}, status(429, "TooManyRequests", retryAfterSeconds="x"), None),
        ({}, '{"kind": "Status", "details": []}', None),
    ],
)
def test_retry_after_is_kept(headers: dict[str, str], body: object, seconds: float | None) -> None:
    error = made(429, body, headers=headers)
    assert isinstance(error, Unavailable)
    assert error.retry_after == seconds
