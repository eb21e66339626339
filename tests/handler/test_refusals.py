"""What a webhook or a policy engine says about a Job it refuses arrives whole: what matters stands at its end."""

import logging

import pytest

from adapters.headers import reason_of
from adapters.memory import MemoryBroker
from k8s.api.cluster import Cluster
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.store import admission
from tests.handler.relay import code_of, detail, running
from tests.handler.samples import make_request

LAST_WORDS = "«ask the platform team for an exemption: ticket PLAT-42»"
RULES = "; ".join(
    f"validation error: rule require-label-{number:02} failed: label team is missing" for number in range(24)
)
REFUSAL = f'admission webhook "validate.policy.example" denied the request: {RULES}; {LAST_WORDS}'


@pytest.fixture(autouse=True)
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster has a webhook that refuses further attempts, and all Jobs whose label says so."""
    assert 1800 < len(REFUSAL.encode()) < 2000
    validate = admission.validate_create

    def judge(kind: Resource, obj: Obj) -> None:
        meta = obj["metadata"]
        if kind.kind == "Job" and (meta["labels"].get("app") == "refused" or meta["name"].endswith("-2")):
            raise ApiError(403, "Forbidden", REFUSAL, details={"causes": [{"field": "metadata", "message": REFUSAL}]})
        validate(kind, obj)

    monkeypatch.setattr(admission, "validate_create", judge)


async def test_the_last_words_of_a_refused_request_arrive_everywhere(
    broker: MemoryBroker, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(broker, cluster) as client:
        await client.publish(make_request("no", service="refused"))
        rejected = await client.reached("no", "rejected")
        (letter,) = await client.dead_letters(1)
    error = detail(rejected)["error"]
    assert error["errorCode"] == "FORBIDDEN"
    assert error["message"] == f"403 {REFUSAL}"
    assert error["fields"] == [{"path": "metadata", "message": REFUSAL}]
    assert reason_of(letter.headers) == f"403 {REFUSAL}"
    assert f"rejected: 403 {REFUSAL}" in [record.getMessage() for record in caplog.records]


async def test_the_last_words_about_a_refused_attempt_are_in_the_verdict(
    broker: MemoryBroker, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("once", script="exit 1", retries=2, retryDelay=1))
        end = await client.ended("once")
    assert code_of(end) == "JOB_EXECUTION_FAILED"
    assert detail(end)["error"]["message"].endswith(LAST_WORDS)
    assert any(record.getMessage().endswith(LAST_WORDS) for record in caplog.records)
