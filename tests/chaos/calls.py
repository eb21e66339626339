"""Numbers the calls that jobrelay's processes make, and springs a trap at one of them. Does not forward."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class When(StrEnum):
    """The moments of a call at which the trap can spring."""

    BEFORE = "before it is forwarded"
    AFTER = "after, before its answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request of a process. `by`: the proxy it came through. `where`: the server it goes to.

    `verb` and `path`: for the API server the method and the path; for NATS PUB, HPUB or SUB and the subject; for
    RabbitMQ the AMQP method and the names in it.
    """

    number: int
    by: str
    where: str
    verb: str
    path: str

    def __str__(self) -> str:
        return f"{self.number:4} {self.by:10} {self.where:8} {self.verb:24} {self.path}"

    @property
    def writes(self) -> bool:
        """Whether the call changes something, as part of a request's life."""
        if self.where == "api":
            return self.verb != "GET" and "/leases" not in self.path
        return self.verb in ("PUB", "HPUB", "basic.publish", "basic.ack") and "$JS.API" not in self.path

    @property
    def declares(self) -> bool:
        """Whether the call declares a part of the broker's topology."""
        return ".CREATE." in self.path or self.verb.rpartition(".")[2] in ("declare", "bind")


class Ledger:
    """All calls since `begin`, numbered from 1 in order of arrival, and a trap at one of them.

    `struck`: the call at which the trap has sprung.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.struck: Call | None = None
        self._number = 0
        self._when = When.BEFORE
        self._act: Callable[[Call], None] = _nothing

    def begin(self, *, number: int = 0, when: When = When.BEFORE, act: Callable[[Call], None] | None = None) -> None:
        """Start counting again. `act` is called once, at moment `when` of call `number`; never if that is 0."""
        self.calls = []
        self.struck = None
        self._number, self._when, self._act = number, when, act or _nothing

    def note(self, *, by: str, where: str, verb: str, path: str) -> Call:
        """Number a call that has just arrived."""
        call = Call(number=len(self.calls) + 1, by=by, where=where, verb=verb, path=path)
        self.calls.append(call)
        return call

    def aims_at(self, call: Call, when: When) -> bool:
        """Whether the trap is set for this moment of this call."""
        meant = self.struck is None and call.number == self._number and when is self._when
        # A call from before `begin` may have the same number.
        return meant and self.calls[call.number - 1 : call.number] == [call]

    def strikes(self, call: Call, when: When) -> bool:
        """Whether the trap is set for this moment of this call; if so, it springs."""
        if not self.aims_at(call, when):
            return False
        self.struck = call
        self._act(call)
        return True


def _nothing(_: Call) -> None:
    """The act of proxies that only count."""
