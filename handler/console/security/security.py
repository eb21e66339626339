"""All that is needed to tell who asks, made once from the settings."""

import secrets

from aiohttp import web

from handler.console.http.person import Person
from handler.console.http.seal import Seal
from handler.console.security.doors import Door, TokenDoor, door_of
from handler.console.security.files import KEY_LENGTH, SecretFile
from handler.console.security.sessions import Session, Sessions, cookie_of, is_https
from handler.settings.settings import Settings

KEEP = web.RequestKey("keep", Session)
"""The session whose cookie goes out with the answer."""
DROP = web.RequestKey("drop", str)
"""The name of a cookie that the browser is told to forget."""


class Security:
    """Raises `FileRefused` for a token or a key that cannot be used."""

    def __init__(self, settings: Settings) -> None:
        path = settings.ui_secret_file
        key = (
            secrets.token_bytes(KEY_LENGTH)
            if path is None
            else SecretFile(path, setting="JOBRELAY_UI_SECRET_FILE", least=KEY_LENGTH).content
        )
        self.seal = Seal(key)
        self.sessions = Sessions(self.seal, seconds=settings.ui_session_hours * 3600)
        self.door: Door = door_of(settings, self.seal)

    @property
    def tokens(self) -> TokenDoor | None:
        """What people log in at, where they do."""
        return self.door if isinstance(self.door, TokenDoor) else None

    def session(self, request: web.Request) -> Session:
        """That of the browser, or a new one. `KEEP` is set where its cookie has to go out."""
        found = self._found(request, proven=True) or self._found(request, proven=False)
        session = found or self.sessions.opened()
        if not session.proof and (found is None or self.sessions.is_old(session)):
            session = request[KEEP] = self.sessions.renewed(session)
        return session

    def log_in(self, request: web.Request, proof: str) -> None:
        """From now on whoever has sent this request is who knows the token of `proof`."""
        # A new one: somebody else may have put the former one into this browser.
        request[KEEP], request[DROP] = self.sessions.opened(proof), cookie_of(request, proven=False)

    def log_out(self, request: web.Request, session: Session) -> None:
        """From now on whoever has sent this request is nobody."""
        self.sessions.end(session)
        request[KEEP], request[DROP] = self.sessions.opened(), cookie_of(request)

    def write_cookie(self, request: web.Request, response: web.StreamResponse, *, path: str) -> None:
        """Send the cookie of `KEEP`, where there is one, and end that of `DROP`."""
        if dropped := request.get(DROP):
            response.del_cookie(dropped, path=path, httponly=True, samesite="Strict", secure=is_https(request))
        session = request.get(KEEP)
        if session is not None:
            response.set_cookie(
                cookie_of(request, proven=bool(session.proof)),
                self.sessions.written(session),
                max_age=self.sessions.seconds,
                path=path,
                httponly=True,
                samesite="Strict",
                secure=is_https(request),
            )

    def _found(self, request: web.Request, *, proven: bool) -> Session | None:
        session = self.sessions.read(request.cookies.get(cookie_of(request, proven=proven), ""))
        return session if session is not None and bool(session.proof) == proven else None


SECURITY = web.AppKey("security", Security)


def nobody(session: Session) -> Person:
    """Whoever has not said yet who they are."""
    return Person(name="", operator=False, session=session.id)
