"""The formats that only kubectl uses: the tables it is sent and the protobuf it sends."""

import pytest

from k8s.devcluster.api import protobuf
from k8s.devcluster.api.tables import human_duration, table
from k8s.devcluster.errors import ApiError


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (200, "3m20s"), (600, "10m"), (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"), (5 * 3600 + 180, "5h3m"), (9 * 3600, "9h"), (50 * 3600, "2d2h"), (72 * 3600, "3d"),
        (90 * 86400, "90d"),
    ],
)  # fmt: skip
def test_ages_are_shown_as_kubectl_shows_them(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown


@pytest.mark.parametrize(
    ("status", "deleted", "shown"),
    [
        ({}, False, "Running"),
        ({"conditions": [{"type": "Suspended", "status": "True"}]}, False, "Suspended"),
        ({"conditions": [{"type": "Suspended", "status": "False"}]}, False, "Running"),
        ({"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}, False, "SuccessCriteriaMet"),
        ({"conditions": [{"type": "FailureTarget", "status": "True"}]}, False, "FailureTarget"),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, True, "Complete"),
        ({"conditions": [{"type": "Failed", "status": "True"}]}, False, "Failed"),
        ({}, True, "Terminating"),
    ],
)
def test_a_jobs_row_shows_its_state(status: dict[str, object], deleted: bool, shown: str) -> None:
    metadata = {"name": "j"} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})
    times = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z", "succeeded": 1}
    spec = {"parallelism": 2, "template": {"spec": {"containers": []}}}
    rows = table("Job", [{"metadata": metadata, "spec": spec, "status": status | times}], metadata={})["rows"]
    assert rows[0]["cells"][:4] == ["j", shown, "1/1 of 2", "7s"]


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, "ImagePullBackOff"),
        ({"terminated": {"exitCode": 3}}, "ExitCode:3"),
        ({"terminated": {"exitCode": 0, "reason": "Completed"}}, "Completed"),
        ({"running": {}}, "Pending"),
    ],
)
def test_a_pods_row_shows_the_reason_of_its_container(state: dict[str, object], shown: str) -> None:
    status = {"phase": "Pending", "containerStatuses": [{"state": state, "restartCount": 2}]}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{}]}, "status": status}
    cells = table("Pod", [pod], metadata={}, include="None")["rows"][0]["cells"]
    assert cells[:4] == ["p", "0/1", shown, "2"]


def envelope(kind: bytes, raw: bytes) -> bytes:
    about = b"\x0a\x02v1\x12" + bytes([len(kind)]) + kind
    return b"k8s\0\x0a" + bytes([len(about)]) + about + b"\x12" + bytes([len(raw)]) + raw


def test_a_config_map_in_protobuf_is_read() -> None:
    raw = b"\x0a\x03\x0a\x01c" + b"\x12\x06\x0a\x01k\x12\x01v"
    assert protobuf.read_object(envelope(b"ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"k": "v"},
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not protobuf", 400),
        (b"k8s\0\xff", 400),
        (envelope(b"ConfigMap", b"\x0a\x09x"), 400),
        (envelope(b"ConfigMap", b"\x08\x01"), 400),
        (envelope(b"ConfigMap", b"\x7a\x01x"), 415),
        (envelope(b"ConfigMap", b"\x0d\0\0\0\0"), 415),
        (envelope(b"Widget", b""), 415),
    ],
)
def test_protobuf_that_is_not_understood_is_refused_and_never_read_in_part(body: bytes, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        protobuf.read_object(body)
    assert caught.value.code == code
