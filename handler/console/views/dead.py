"""Dead letters: what jobrelay refused, and why.

RabbitMQ shows them to one reader at a time, who has to fetch them all. So they are read for everybody at once, and
without their bodies; one letter is read again for whoever opens it.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from adapters.base import Broker, BrokerError, BrokerUnavailable, Kind, Record, digest_of
from events.cloudevent.timestamp import parse_time
from handler.console.backend import Backend
from handler.console.http.problems import Problem
from handler.console.views.asked import Asked
from handler.console.views.models import Letter, LetterDetail, LetterPage
from handler.operations.letters import Choice, body_of, summary
from handler.operations.records import moment
from handler.operations.times import read_duration
from handler.operations.wording import clean

FRESH_SECONDS = 5.0
READ_MOST = 2000
"""Dead letters that are looked at for a list, the oldest of each broker."""
SHOWN_MOST = 200
SECONDS_MOST = 10.0
"""That a broker is waited for."""
BYTES_MOST = 64 << 20
"""Of all the bodies that are looked at for a list."""
_LATE = "its dead letters were not read in time"
TEXT_MOST = 2048
"""Characters of what a letter says about itself, in a list."""


def _duration(text: str) -> str:
    try:
        read_duration(text)
    except ValueError as error:
        raise ValueError(f"is {error}") from None
    except OverflowError:
        raise ValueError("is longer than any time") from None
    return text


Duration = Annotated[str, AfterValidator(_duration), Field(examples=["15m", "7d"])]
"""How long, as it was written."""


class LettersQuery(Asked):
    """Which dead letters. `code` and `type` are shell patterns."""

    broker: str | None = Field(default=None, max_length=64, description="Its name; by default all that are connected.")
    code: str | None = Field(default=None, max_length=256, description="Error code, such as `INVALID_*`.")
    type: str | None = Field(default=None, max_length=256, description="Type of the event, such as `com.example.*`.")
    older: Duration | None = Field(default=None, description="Dead for longer than 90s, 15m, 1h30m, 7d.")
    newer: Duration | None = Field(default=None, description="Dead for less than that.")

    def choice(self) -> Choice:
        """What dead letters are chosen by."""
        return Choice(
            codes=[self.code] if self.code else [],
            types=[self.type] if self.type else [],
            older=read_duration(self.older) if self.older else None,
            newer=read_duration(self.newer) if self.newer else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    letters: Sequence[Letter] = ()
    more: bool = False
    problem: str | None = None


async def letters_view(backend: Backend, query: LettersQuery) -> LetterPage:
    """At most `SHOWN_MOST` of those that were stored some seconds ago, oldest first. Raises `UnknownBroker`."""
    names = backend.broker_names if query.broker is None else [query.broker]
    found = await asyncio.gather(*(_letters_of(backend, name) for name in names))
    now, choice = datetime.now(UTC), query.choice()
    known = sorted((letter for one in found for letter in one.letters), key=lambda letter: letter.time)
    chosen = [letter for letter in known if _is_chosen(letter, choice, now)]
    return LetterPage(
        letters=chosen[:SHOWN_MOST],
        more=len(chosen) > SHOWN_MOST or any(one.more for one in found),
        problems=[one.problem for one in found if one.problem],
    )


async def letter_view(backend: Backend, number: int, broker: str | None = None) -> LetterDetail:
    """One of them, whole. Raises `BrokerUnavailable`, `UnknownBroker`, and `Problem` where there is none."""
    found = backend.broker(broker)
    record = await letter_of(found, number)
    told = summary(record)
    body = body_of(record.body)
    return LetterDetail(
        **_said(found.name, record, told),
        origin=told["origin"],
        headers=dict(sorted(record.headers.items())),
        size=len(record.body),
        body=body.get("body"),
        body_base64=body.get("body_base64"),
    )


def _is_chosen(letter: Letter, choice: Choice, now: datetime) -> bool:
    age = now - parse_time(letter.time)
    return choice.fits_known(letter.number, age, code=letter.code, kind=letter.type)


async def _letters_of(backend: Backend, name: str) -> _Read:
    try:
        broker = backend.broker(name)
    except BrokerUnavailable as error:
        return _Read(problem=clean(error))
    return await backend.answers.get(answer_of(name), partial(_read, broker), fresh=FRESH_SECONDS)


def answer_of(broker: str) -> str:
    """The name of the answer that holds the dead letters of this broker: to be forgotten when they have changed."""
    return f"dead letters of {broker}"


async def _read(broker: Broker) -> _Read:
    letters: list[Letter] = []
    size = 0
    try:
        # What is late is broken off within the block: leaving it must not be.
        async with broker.history(Kind.DEAD) as records, asyncio.timeout(SECONDS_MOST):
            async for record in records:
                # To read what a large one says takes a while.
                await asyncio.sleep(0)
                if len(letters) >= READ_MOST or size > BYTES_MOST:
                    return _Read(letters=letters, more=True)
                letters.append(Letter(**_said(broker.name, record, summary(record))))
                size += len(record.body)
    except (BrokerError, TimeoutError) as error:
        return _Read(letters=letters, more=True, problem=f"broker {broker.name}: {clean(error) or _LATE}")
    return _Read(letters=letters)


async def letter_of(broker: Broker, number: int) -> Record:
    """The dead letter of this number. Raises `Problem` 404, `BrokerUnavailable`."""
    found = await letters_of(broker, {number})
    if number not in found:
        raise Problem(404, "NOT_FOUND", f"There is no dead letter {number}: it was replayed or dropped, or never was.")
    return found[number]


async def letters_of(broker: Broker, numbers: Collection[int]) -> dict[int, Record]:
    """Those of these numbers that are there. Raises `BrokerUnavailable`, also where it takes too long."""
    # Whoever is cancelled meanwhile leaves no reader behind.
    return await asyncio.shield(asyncio.ensure_future(_found(broker, numbers)))


async def _found(broker: Broker, numbers: Collection[int]) -> dict[int, Record]:
    found: dict[int, Record] = {}
    try:
        async with broker.history(Kind.DEAD) as records, asyncio.timeout(SECONDS_MOST):
            async for record in records:
                if record.sequence in numbers:
                    found[record.sequence] = record
                    if len(found) == len(numbers):
                        break
    except TimeoutError:
        raise BrokerUnavailable(f"broker {broker.name}: {_LATE}") from None
    return found


def _said(broker: str, record: Record, told: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: told[name] for name in ("topic", "code", "reason", "id", "source", "type", "attempts")}
    return {
        "broker": broker,
        "number": record.sequence,
        "digest": digest_of(record.body),
        "time": moment(record.time.timestamp()),
        "replays": told["replays"],
        **{name: text if text is None else str(text)[:TEXT_MOST] for name, text in texts.items()},
    }
