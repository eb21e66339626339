"""An error of ours, whichever and wherever, is tried again as an attempt, and ends as a dead letter that names it."""

import re
from typing import Any

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from events.cloudevent.event import encode_structured
from handler.controller.control import Control
from handler.effects import deliveries
from handler.intake import intake, telling
from handler.intake.requests import Requests
from k8s.api.cluster import Cluster
from tests.handler.relay import code_of, detail, running
from tests.handler.samples import make_command, make_request

ERRORS = [ZeroDivisionError("a bug"), RecursionError("too deep"), MemoryError()]
REFERENCE = re.compile(r"with reference ([0-9a-f]{32})$")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "BUG_SECONDS", 0.0)


def raising(error: Exception) -> Any:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    return broken


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The references of errors in the log."""
    return [record.__dict__["reference"] for record in caplog.records if "reference" in record.__dict__]


async def test_every_error_of_ours_ends_a_request_and_is_found_in_the_log(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(broker, cluster, max_attempts=2) as client:
        for number, error in enumerate(ERRORS):
            monkeypatch.setattr(Requests, "of", raising(error))
            event = make_request(f"r-{number}")
            await client.publish(event)
            rejected = await client.reached(f"r-{number}", "rejected")
            assert code_of(rejected) == "INTERNAL"
            (reference,) = REFERENCE.findall(detail(rejected)["error"]["message"])
            assert reference in logged(caplog)
            letter = (await client.dead_letters(number + 1))[number]
            assert letter.headers["jobrelay-code"] == "INTERNAL"
            assert letter.headers["jobrelay-attempts"] == "2"
            assert letter.body == encode_structured(event)


async def test_a_traced_request_is_found_by_its_trace(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Requests, "of", raising(ERRORS[0]))
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with running(broker, cluster, max_attempts=1) as client:
        await client.publish(make_request(attributes={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}))
        assert trace in detail(await client.reached("r-1", "rejected"))["error"]["message"]


@pytest.mark.parametrize("invalid", [True, False], ids=["a rejection", "an error"])
async def test_what_cannot_be_told_ends_all_the_same(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *, invalid: bool
) -> None:
    monkeypatch.setattr(telling, "rejected_event", raising(ValueError("a weird value")))
    if not invalid:
        monkeypatch.setattr(Requests, "of", raising(ERRORS[0]))
    async with running(broker, cluster, max_attempts=2) as client:
        await client.publish(make_request(job={"image": 7}))
        (letter,) = await client.dead_letters(1)
        assert letter.headers["jobrelay-code"] == "INTERNAL"


async def test_every_error_of_ours_ends_a_command_with_an_answer(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Control, "_answer", raising(ERRORS[1]))
    async with running(broker, cluster, max_attempts=2) as client:
        await client.command(make_command("cancel", "r-1"))
        rejected = await client.reached("command-1", "rejected")
        assert code_of(rejected) == "INTERNAL"
        (reference,) = REFERENCE.findall(detail(rejected)["error"]["message"])
        assert reference in logged(caplog)
        (letter,) = await client.dead_letters(1)
        assert (letter.headers["jobrelay-code"], letter.topic) == ("INTERNAL", Topic(Kind.DEAD, "control"))


async def test_a_message_that_killed_the_process_ends_before_it_is_read_again(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.publish(Topic(Kind.REQUESTS), make_request())
    async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
        await anext(aiter(subscription))
    monkeypatch.setattr(intake, "claims_unread", raising(MemoryError()))
    async with running(broker, cluster, max_attempts=1) as client:
        (letter,) = await client.dead_letters(1)
        assert letter.headers["jobrelay-code"] == "TOO_MANY_ATTEMPTS"
