"""Replays and drops dead letters of one broker, for control events. Not what a letter is; that is the broker's."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from adapters.base import BrokerUnavailable, DeadLetter, DeadLetters, TopicRefused, digest_of
from events.request.control import Command, ControlVerb, Letter
from handler.controller.waitingroom import PutBack
from handler.effects.deliveries import Rejection

logger = logging.getLogger(__name__)

REMEMBERED = 1000
"""Commands whose outcomes are remembered, so that a repeat is answered as before."""
AGAIN_SECONDS = 5.0
"""Seconds that a command waits at the broker when the dead letters cannot be read: somebody else reads them, say."""

_Key = tuple[str, str]
"""Source and id of a command."""
_Refusal = tuple[str, str]
"""Code and message."""


class Letters:
    """Carries out commands about dead letters: those that come while it reads them are all looked for at once.

    `broker`: gives access to them.
    """

    def __init__(self, broker: Callable[[], DeadLetters]) -> None:
        self._broker = broker
        self._waiting: dict[_Key, Command] = {}
        self._outcomes: dict[_Key, _Refusal | None] = {}
        self._turn = asyncio.Lock()
        self._problem = ""

    async def carry_out(self, command: Command) -> None:
        """Replay or drop the letter that the command means. A repeat of the command ends as it did.

        Raises `Rejection`, and `PutBack` when the dead letters cannot be read now.
        """
        key = (command.source, command.event_id)
        if key not in self._outcomes:
            self._waiting[key] = command
            async with self._turn:
                await self._look()
        if key not in self._outcomes:
            raise PutBack(AGAIN_SECONDS, counts=True, why=f"the dead letters cannot be read: {self._problem}")
        if (refusal := self._outcomes[key]) is not None:
            raise Rejection(*refusal)

    async def _look(self) -> None:
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return  # Whoever had the turn before has looked for its letter, too.
        try:
            async with self._broker().dead_letters() as letters:
                others: set[_Key] = set()
                async for letter in letters:
                    await self._settle(letter, waiting, others)
                    if not waiting:
                        break
        except BrokerUnavailable as error:
            self._problem = str(error)
            return
        for key, command in waiting.items():
            self._remember(key, _missing(command.letter, other=key in others))

    async def _settle(self, letter: DeadLetter, waiting: dict[_Key, Command], others: set[_Key]) -> None:
        """Do with this letter what the first of these commands asks for that means it. That takes it from `waiting`.

        `others` gets those that mean another letter of its number.
        """
        for key, command in _meant(letter, waiting).items():
            if command.letter is None or command.letter.digest not in (None, digest_of(letter.record.body)):
                others.add(key)
                continue
            refusal = await _act(letter, command.verb)
            del waiting[key]
            self._remember(key, refusal)
            return

    def _remember(self, key: _Key, refusal: _Refusal | None) -> None:
        self._outcomes[key] = refusal
        while len(self._outcomes) > REMEMBERED:
            del self._outcomes[next(iter(self._outcomes))]


def _meant(letter: DeadLetter, waiting: Mapping[_Key, Command]) -> dict[_Key, Command]:
    number = letter.record.sequence
    return {key: one for key, one in waiting.items() if one.letter is not None and one.letter.number == number}


async def _act(letter: DeadLetter, verb: ControlVerb) -> _Refusal | None:
    try:
        await (letter.replay() if verb is ControlVerb.REPLAY else letter.drop())
    except TopicRefused as error:
        return "LETTER_REFUSED", f"it stays a dead letter: {error}"
    logger.info("%s of dead letter %s", verb, letter.record.sequence)
    return None


def _missing(letter: Letter | None, *, other: bool) -> _Refusal:
    number = letter.number if letter is not None else ""
    if other:
        return "LETTER_CHANGED", f"dead letter {number} is another one than the letterdigest says"
    return "LETTER_UNKNOWN", f"there is no dead letter {number}"
