"""User and password of a server on this machine, so that other users of the machine cannot talk to it."""

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "login.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Of letters, digits, `-` and `_`: a URL and a configuration file show both as they are."""

    user: str
    password: str

    @property
    def in_url(self) -> str:
        """What stands before the host."""
        return f"{self.user}:{self.password}@"


def login_in(directory: Path, *, user: str) -> Login:
    """The login that is kept in the directory, made up at the first call. Only this user can read its file."""
    file = directory / _FILE
    with suppress(OSError, ValueError, TypeError):
        found = Login(**json.loads(file.read_bytes()))
        file.chmod(0o600)
        return found
    made = Login(user=user, password=secrets.token_urlsafe(24))
    write_private(file, json.dumps(asdict(made)) + "\n")
    return made


def write_private(file: Path, text: str) -> None:
    """Write a file that only this user can read, also if it was there and others could."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        os.fchmod(descriptor, 0o600)
        out.write(text)
