"""A control event has no data: one that is large is not read, and keeps no other waiting."""

from urllib.parse import unquote

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from events.cloudevent.event import encode_structured
from handler.controller.control import MAX_COMMAND
from k8s.api.cluster import Cluster
from tests.handler.relay import running
from tests.handler.samples import make_command


async def test_a_large_control_event_is_a_dead_letter_and_the_next_is_answered(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    command = make_command("cancel", "unknown")
    async with running(broker, cluster, control_wait=0) as client:
        broker.put(Topic(Kind.CONTROL), {}, encode_structured(command) + b" " * MAX_COMMAND)
        (letter,) = await client.dead_letters(1)
        assert letter.headers["jobrelay-code"] == "TOO_LARGE"
        assert f"a control event has at most {MAX_COMMAND}" in unquote(letter.headers["jobrelay-reason"])
        await client.command(command)
        await client.reached(command.get_id(), "rejected")
