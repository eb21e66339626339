"""Sessions: what a browser keeps in a cookie, sealed, so that the server need not remember it."""

import secrets
import time
from dataclasses import dataclass, replace

from aiohttp import web

from handler.console.http.seal import Seal
from handler.console.security.addresses import host_of

_ENDED = 10_000
"""Ended sessions that are remembered until they would have ended anyway."""


@dataclass(frozen=True, slots=True)
class Session:
    """`proof`: what it was opened with, as a mark; empty for one that proves nothing, but tells browsers apart."""

    id: str
    until: int
    proof: str = ""


class Sessions:
    """Opens, reads and ends them. `seconds`: after which a session ends, however it was used."""

    def __init__(self, seal: Seal, *, seconds: int) -> None:
        self.seconds = seconds
        self._seal = seal
        self._ended: dict[str, int] = {}

    def opened(self, proof: str = "") -> Session:
        """A new one."""
        return Session(secrets.token_urlsafe(18), int(time.time()) + self.seconds, proof)

    def renewed(self, session: Session) -> Session:
        """The same one with all of its time. Only for those that prove nothing."""
        return replace(session, until=int(time.time()) + self.seconds)

    def is_old(self, session: Session) -> bool:
        """Whether half of its time is over."""
        return session.until - time.time() < self.seconds / 2

    def written(self, session: Session) -> str:
        """As the value of a cookie."""
        parts = session.id, str(session.until), session.proof
        return ".".join((*parts, self._seal.of("session", *parts)))

    def read(self, text: str) -> Session | None:
        """What `written` has made, and is still good; None for anything else."""
        parts = text.split(".")
        if len(parts) != 4 or not self._seal.fits(parts[3], "session", *parts[:3]):
            return None
        session = Session(parts[0], int(parts[1]), parts[2])
        good = session.until > time.time() and session.id not in self._ended
        return session if good else None

    def end(self, session: Session) -> None:
        """Whoever kept its cookie cannot use it again, at this process."""
        now = time.time()
        self._ended = {one: until for one, until in self._ended.items() if until > now}
        self._ended[session.id] = session.until
        while len(self._ended) > _ENDED:
            del self._ended[next(iter(self._ended))]


def cookie_of(request: web.BaseRequest, *, proven: bool = True) -> str:
    """The name of the cookie of sessions that prove something, or of those that do not.

    They have names of their own so that the latter replaces no login: where a link on another site leads here, browsers
    keep both back (`Strict`), and whoever follows it seems to be new. Cookies do not tell ports apart, and on one
    machine several pages may be served.
    """
    name = "jobrelay_session" if proven else "jobrelay_visit"
    _, port = host_of(request)
    return f"{name}_{port}" if port else name


def is_https(request: web.BaseRequest) -> bool:
    """Whether the browser speaks HTTPS, to a proxy. Who pretends that only loses their own cookie."""
    return request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower() == "https" or (
        request.headers.get("Origin", "").startswith("https:")
    )
