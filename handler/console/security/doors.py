"""Who asks: one way to tell for each value of `JOBRELAY_UI_AUTH`."""

import hmac
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from aiohttp import hdrs, web

from handler.console.http.person import Person
from handler.console.http.problems import Problem
from handler.console.http.seal import Seal
from handler.console.security.addresses import Network, client_of, host_of, is_trusted, peer_of
from handler.console.security.files import TOKEN_LENGTH, SecretFile
from handler.console.security.sessions import Session
from handler.console.security.tries import Tries
from handler.settings.page import is_loopback
from handler.settings.settings import Settings
from handler.visible import clipped, escaped

USER, GROUPS = "X-Forwarded-User", "X-Forwarded-Groups"
_NAME = 200
"""Characters of a person's name that are kept."""


class Door(Protocol):
    """Tells who asks."""

    def person(self, request: web.Request, session: Session) -> Person | None:
        """None: they have to log in first. Raises `Problem` for those who do not get in at all."""
        ...


class OpenDoor:
    """`none`: whoever uses this machine does everything."""

    def person(self, request: web.Request, session: Session) -> Person | None:
        # Another site may have its own name resolve to this machine, and would then be asked for as itself.
        if not is_loopback(host_of(request)[0]):
            raise Problem(403, "WRONG_HOST", "This page is served to localhost alone, and not by other names of it.")
        return Person(name="local", operator=True, session=session.id)


class TokenDoor:
    """`token`: who knows a token, in the header or when they logged in, is its role."""

    def __init__(self, settings: Settings, seal: Seal) -> None:
        files = ("operator", "ui_token_file"), ("viewer", "ui_view_token_file")
        self._files = {
            role: SecretFile(path, setting=f"JOBRELAY_{name.upper()}", least=TOKEN_LENGTH)
            for role, name in files
            if (path := getattr(settings, name)) is not None
        }
        self._seal = seal
        self._proxies = settings.ui_networks
        self._logins, self._bearers = (Tries(time.monotonic, most=settings.ui_login_tries) for _ in range(2))

    def person(self, request: web.Request, session: Session) -> Person | None:
        scheme, _, secret = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        # Others are for a proxy in front of us.
        if scheme.lower() == "bearer":
            told = self._role(request, secret, self._bearers)
            return Person(name=told, operator=told == "operator", bearer=True)
        role = next((role for role in self._files if session.proof == self._proof(role)), None)
        if role is None:
            return None
        return Person(name=role, operator=role == "operator", session=session.id, ends=session.until)

    def proof(self, request: web.Request, secret: str) -> str:
        """What a session is opened with for who knows this token. Raises `Problem`: 401, or 429 after too many."""
        return self._proof(self._role(request, secret, self._logins))

    def _role(self, request: web.Request, secret: str, tries: Tries) -> str:
        address = client_of(request, self._proxies)
        if wait := tries.wait(address):
            raise Problem(429, "TOO_MANY_TRIES", "Too many wrong tokens from this address.", retry_after=wait)
        given = secret.strip().encode(errors="surrogatepass")
        # All are compared, so that the time it takes says nothing.
        fitting = [role for role, file in self._files.items() if hmac.compare_digest(given, file.content)]
        if not fitting:
            tries.failed(address)
            raise Problem(401, "UNAUTHENTICATED", "This token is not known.")
        return fitting[0]

    def _proof(self, role: str) -> str:
        # Of the token itself: with another one in the file, sessions of the former end.
        return self._seal.of("token", role, self._files[role].content.decode(errors="surrogateescape"))


class ProxyDoor:
    """`proxy`: who a trusted proxy says it is. What it says of anybody must not be said by themselves."""

    def __init__(self, settings: Settings) -> None:
        self._proxies: Sequence[Network] = settings.ui_networks
        self._operators, self._viewers = settings.ui_operators, settings.ui_viewers

    def person(self, request: web.Request, session: Session) -> Person | None:
        if not is_trusted(peer_of(request), self._proxies):
            raise Problem(403, "UNTRUSTED_PROXY", "This page is reached through its proxy alone.")
        user, groups = _only(request, USER), [one.strip() for one in _only(request, GROUPS).split(",") if one.strip()]
        if not user:
            raise Problem(403, "UNNAMED", f"The proxy does not say who asks: {USER} is missing.")
        operator = _is_one(self._operators, user, groups)
        if not operator and not _is_one(self._viewers, user, groups):
            raise Problem(403, "FORBIDDEN", "You are not among those who may see this page.")
        return Person(name=clipped(escaped(user), _NAME), operator=operator, session=session.id)


def door_of(settings: Settings, seal: Seal) -> Door:
    """As `JOBRELAY_UI_AUTH` says. Raises `FileRefused` for a token that cannot be used."""
    if settings.ui_auth == "token":
        return TokenDoor(settings, seal)
    return ProxyDoor(settings) if settings.ui_auth == "proxy" else OpenDoor()


def _only(request: web.Request, name: str) -> str:
    """The value of a header that stands there once: of two, one may be what the person themselves has sent."""
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise Problem(403, "UNNAMED", f"{name} is there more than once: the proxy has to replace it.")
    return values[0].strip() if values else ""


def _is_one(patterns: Sequence[str], user: str, groups: Sequence[str]) -> bool:
    for pattern in patterns:
        kind, _, rest = pattern.partition(":")
        if kind == "user" and rest:
            if fnmatchcase(user, rest):
                return True
        elif any(fnmatchcase(group, pattern) for group in groups):
            return True
    return False
