"""Whatever is published becomes a dead letter with a reason or a Job, and never delays a good request."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from adapters.headers import RESERVE, reason_of
from events.cloudevent.binding import from_nats
from events.identity import request_label
from events.names import Label
from events.request.control import parse_control
from events.request.request import Request
from tests.garbage.judging import JUDGED_WITHIN, Judged, each_is_judged
from tests.garbage.strategies import SUBJECTS, Message, encoded, garbage, request_json
from tests.garbage.wire import Wire, block, parsed, wire
from tests.long import LONG
from tests.processes import Installation, installation

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.broker,
    pytest.mark.slow,
    pytest.mark.timeout(1200 if LONG else 300),
]

MAX_PAYLOAD = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack(Judged[Message]):
    """A running installation, and a plain socket to its broker."""

    here: Installation
    wire: Wire

    async def judged(self, message: Message) -> str:
        """The outcome: its dead letter's code, `job`, `answered` (a control event) or `refused` by the broker."""
        stored = await self.wire.publish(message.subject, message.body, message.block)
        if "error" in stored or stored.get("duplicate"):
            return "refused"
        letters = await self.wire.settled(stored["stream"], stored["seq"], within=JUDGED_WITHIN)
        if not letters:
            return await self._accepted(message)
        (letter,) = letters
        assert letter.body == message.body
        assert reason_of(letter.headers)
        return letter.headers["jobrelay-code"]

    async def _accepted(self, message: Message) -> str:
        """The outcome of a message that made no dead letter."""
        event = from_nats(parsed(message.block or b""), message.body)
        if message.subject == SUBJECTS[-1]:
            parse_control(event)
            return "answered"
        label = request_label(Request.of(event).id)
        assert await self.cluster.list_jobs("default", f"{Label.REQUEST}={label}"), "neither dead letter nor Job"
        return "job"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with AsyncExitStack() as exits:
        here = await exits.enter_async_context(installation(tmp_path_factory.mktemp("garbage")))
        relay = await here.start_relay({"JOBRELAY_CONTROL_WAIT": "0"})
        broker = await exits.enter_async_context(here.broker())
        cluster = await exits.enter_async_context(here.cluster())
        socket = await exits.enter_async_context(wire(here.nats.url))
        yield Stack(here=here, relay=relay, broker=broker, cluster=cluster, wire=socket)
        assert relay.exit_code is None
        assert "Traceback" not in relay.output(), "garbage is refused without an error of ours"


async def test_no_garbage_delays_a_good_request(stack: Stack) -> None:
    await each_is_judged(stack, garbage)


async def test_garbage_as_large_as_the_broker_takes_is_kept_whole_and_larger_garbage_is_refused(stack: Stack) -> None:
    structured = block((b"Content-Type", b"application/cloudevents+json"))
    largest = MAX_PAYLOAD - RESERVE - len(structured)
    large = encoded(request_json(metadata={"x": "y" * 900_000})).ljust(largest)
    for subject in SUBJECTS:
        for body in (b"\xff" * largest, large):
            assert await stack.judged(Message(subject, body, structured)) in {
                "INVALID_EVENT",
                "INVALID_REQUEST",
                "TOO_LARGE",
            }
            await stack.good()
        assert await stack.judged(Message(subject, b"x" * (largest + 1), structured)) == "refused"
        await stack.good()


def bulky() -> dict[str, bytes]:
    """Requests of nearly the largest size, each with a single part out of all proportion."""
    job = request_json()["data"]["job"]
    variables = [{"name": f"V{number}", "value": ""} for number in range(25_000)]
    return {
        "mistakes": encoded(request_json(job={**job, "env": [{}] * 200_000})),
        "unknown fields": encoded(request_json(**{f"f{number}": 0 for number in range(70_000)})),
        "id": encoded(request_json(id="i" * 900_000)),
        "service": encoded(request_json(id="s", service="s" * 900_000)),
        "arguments": encoded(request_json(id="a", job={**job, "args": ["x" * 900_000]})),
        "variables": encoded(request_json(id="v", job={**job, "env": variables})),
        "tags": encoded(request_json(id="t", tags=["t"] * 180_000)),
        "number": encoded(request_json(id="n")).replace(b'"n"', b"1" * 900_000),
        "attributes": encoded({**request_json(id="x"), **{f"a{number}": "" for number in range(60_000)}}),
        "attribute": encoded({**request_json(id="y"), "subject": "s" * 900_000}),
    }


async def test_bulky_requests_get_an_outcome_and_delay_no_good_request(stack: Stack) -> None:
    codes = {}
    for what, body in bulky().items():
        codes[what] = await stack.judged(Message(SUBJECTS[0], body))
        await stack.good()
    # A request that is merely large may become a Job: its event goes into a Secret.
    assert {what for what, code in codes.items() if code == "job"} <= {"arguments", "variables", "attributes"}
