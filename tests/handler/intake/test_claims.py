"""What a request that is refused says of itself is believed only if a request could say it."""

import json
from typing import Any

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from handler.intake.claims import claimed_id, claimed_service
from k8s.api.cluster import Cluster
from tests.handler.relay import running
from tests.handler.samples import make_request


@pytest.mark.parametrize("value", ["", "x" * 257, "x" * 2**24, "a\nb", " a", "\x1b[2J", 7, None, ["a"], {"a": 1}])
def test_an_id_that_no_request_can_have_is_not_claimed(value: Any) -> None:
    assert claimed_id({"id": value}) is None


@pytest.mark.parametrize("value", ["", "x" * 64, "x" * 2**24, "a b", "a/b", "-a", 7, None])
def test_a_service_that_no_request_can_have_is_not_claimed(value: Any) -> None:
    assert claimed_service({"service": value}) is None


def test_what_a_request_can_have_is_claimed() -> None:
    assert claimed_id({"id": "x" * 256}) == "x" * 256
    assert claimed_service({"service": "mail.v2"}) == "mail.v2"
    assert (claimed_id({}), claimed_service({})) == (None, None)


async def test_a_refusal_of_an_enormous_id_is_told_at_the_events_own(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        data = {"id": "x" * 300_000, "service": "y" * 300_000, "job": {"image": "busybox"}}
        attributes = {"specversion": "1.0", "type": make_request("a").get_type(), "source": "/x", "id": "huge"}
        body = json.dumps({**attributes, "datacontenttype": "application/json", "data": data}).encode()
        broker.put(Topic(Kind.REQUESTS), {"content-type": "application/cloudevents+json"}, body)
        rejected = await client.reached("huge", "rejected")
        assert rejected.get_subject() == "huge"
        assert len(json.dumps(rejected.get_data())) < 4096
