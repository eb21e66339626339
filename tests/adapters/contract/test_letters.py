"""Claims about control events that replay and drop dead letters, on every broker."""

import asyncio

from adapters.base import Broker, Kind, Record, digest_of
from events.request.control import parse_control
from handler.controller.letters import Letters
from handler.effects.deliveries import Rejection
from tests.adapters.contract.test_dead import ANY_BYTES, bury, bury_events, letters_of
from tests.adapters.harness import REQUESTS, Harness, ids, next_delivery, nothing_comes, records
from tests.handler.samples import make_command


async def ask(letters: Letters, verb: str, number: object, event_id: str, digest: str | None = None) -> str:
    """What comes of a command: the code of its refusal, or nothing."""
    event = make_command(verb, str(number), event_id=event_id, letterdigest=digest)
    try:
        await letters.carry_out(parse_control(event))
    except Rejection as rejection:
        return rejection.code
    return ""


async def dead(broker: Broker) -> list[Record]:
    return await records(broker, Kind.DEAD)


async def test_the_letter_that_is_meant_is_replayed_or_dropped_and_others_stay(broker: Broker) -> None:
    await bury_events(broker, 4)
    names, found = await letters_of(broker), await dead(broker)
    letters = Letters(lambda: broker)
    assert await ask(letters, "replay", found[1].sequence, "c1", digest_of(found[1].body)) == ""
    assert await ask(letters, "drop", found[2].sequence, "c2") == ""
    assert await letters_of(broker) == [names[0], names[3]]
    async with broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        assert ids([await next_delivery(subscription)]) == [names[1]]
        assert await nothing_comes(subscription)


async def test_a_repeat_of_a_command_ends_as_it_did(broker: Broker) -> None:
    await bury_events(broker, 1)
    (letter,) = await dead(broker)
    letters = Letters(lambda: broker)
    for _ in range(2):
        assert await ask(letters, "drop", letter.sequence, "c1") == ""
        assert await ask(letters, "drop", letter.sequence, "c2") == "LETTER_UNKNOWN"
    # Who had carried it out has failed before it answered: the next leader cannot know.
    assert await ask(Letters(lambda: broker), "drop", letter.sequence, "c1") == "LETTER_UNKNOWN"


async def test_another_letter_than_the_digest_says_stays(broker: Broker) -> None:
    await bury_events(broker, 2)
    first, second = await dead(broker)
    letters = Letters(lambda: broker)
    assert await ask(letters, "drop", first.sequence, "c1", digest_of(second.body)) == "LETTER_CHANGED"
    assert len(await dead(broker)) == 2


async def test_those_that_come_at_once_are_all_carried_out_and_of_one_letter_the_first_alone(broker: Broker) -> None:
    await bury_events(broker, 6)
    found = await dead(broker)
    letters = Letters(lambda: broker)
    wanted = [ask(letters, "drop", record.sequence, f"c{record.sequence}") for record in found[1:]]
    twice = ask(letters, "replay", found[1].sequence, "later")
    assert await asyncio.gather(*wanted, twice) == [""] * 5 + ["LETTER_UNKNOWN"]
    assert [record.sequence for record in await dead(broker)] == [found[0].sequence]


async def test_bytes_that_are_no_event_can_be_replayed(harness: Harness) -> None:
    await bury(harness, REQUESTS, {}, ANY_BYTES)
    (letter,) = await dead(harness.broker)
    assert await ask(Letters(lambda: harness.broker), "replay", letter.sequence, "c", digest_of(ANY_BYTES)) == ""
    async with harness.broker.subscribe(Kind.REQUESTS, prefetch=5) as subscription:
        assert (await next_delivery(subscription)).body == ANY_BYTES
