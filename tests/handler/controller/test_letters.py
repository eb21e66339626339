"""Dead letters are replayed and dropped by control events, which are answered as any other."""

from adapters.base import Kind, Topic, digest_of
from adapters.memory import MemoryBroker
from handler.controller import letters as module
from k8s.api.cluster import Cluster
from tests.handler.relay import detail, running
from tests.handler.samples import make_command, make_request, until


async def test_a_letter_is_replayed_and_its_refusal_told_again(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("bad", job={"image": 5}))
        (letter,) = await client.dead_letters(1)
        command = make_command("replay", str(letter.sequence), actor="ada", letterdigest=digest_of(letter.body))
        await client.command(command)
        told = await client.reached("command-1", "accepted")
        assert detail(told) == {"verb": "replay", "subject": str(letter.sequence), "jobs": []}
        assert told.get_extension("actor") == "ada"

        async def again() -> bool:
            found = await client.dead()
            return len(found) == 1 and found[0].sequence > letter.sequence

        await until(again)
        assert await client.phases("bad") == ["rejected", "rejected"]


async def test_a_letter_is_dropped(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("bad", job={"image": 5}))
        (letter,) = await client.dead_letters(1)
        await client.command(make_command("drop", str(letter.sequence)))
        await client.reached("command-1", "accepted")
        assert await client.dead() == []
        assert client.state.metrics.control.labels("drop", "accepted")._value.get() == 1


async def test_a_refusal_says_why(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.command(make_command("drop", "12"))
        told = detail(await client.reached("command-1", "rejected"))
        assert told["error"]["errorCode"] == "LETTER_UNKNOWN"
        await client.command(make_command("replay", "the first", event_id="c2", letterdigest="x"))
        told = detail(await client.reached("c2", "rejected"))
        assert told["error"]["errorCode"] == "INVALID_REQUEST"
        assert "subject is no number" in told["error"]["message"]


async def test_what_is_not_taken_back_stays_a_letter(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        broker.put(Topic(Kind.DEAD, "of-others"), {}, b"x")
        (letter,) = await client.dead_letters(1)
        await client.command(make_command("replay", str(letter.sequence)))
        told = detail(await client.reached("command-1", "rejected"))
        assert told["error"]["errorCode"] == "LETTER_REFUSED"
        assert len(await client.dead()) == 1


async def test_no_more_outcomes_are_remembered_than_are_documented(broker: MemoryBroker) -> None:
    letters = module.Letters(lambda: broker)
    for number in range(module.REMEMBERED + 5):
        letters._remember(("/ops", str(number)), None)
    assert len(letters._outcomes) == module.REMEMBERED
    assert ("/ops", "4") not in letters._outcomes
