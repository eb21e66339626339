"""Tokens and keys in files, as mounted Secrets are: read at start, and again when they change."""

import logging
import time
from pathlib import Path

logger = logging.getLogger(__name__)

TOKEN_LENGTH, KEY_LENGTH = 20, 32
"""Bytes of a token, and of a key, at least: shorter ones can be guessed."""
_MOST = 4096
_LOOK_SECONDS = 1.0


class FileRefused(Exception):
    """This file cannot be used; the message says which and why, and nothing of what it holds."""


class SecretFile:
    """`setting`: the variable that names it. Raises `FileRefused` where it cannot be used at the start.

    Later, what it held last stays in force while it cannot be used.
    """

    def __init__(self, path: Path, *, setting: str, least: int) -> None:
        self._path, self._setting, self._least = path, setting, least
        self._seen = self._stamp()
        self._content = self._read()
        self._looked = time.monotonic()
        self._problem: str | None = None

    @property
    def content(self) -> bytes:
        """Without white space around it."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._content

    def _look(self) -> None:
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            self._content = self._read()
        except FileRefused as error:
            if str(error) != self._problem:
                logger.warning("what was read before stays in force: %s", error)
            self._problem = str(error)
        else:
            self._problem = None
            logger.info("read %s again: %s has changed", self._setting, self._path)

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise self._refused(f"cannot be read: {error.strerror}") from error
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                content = file.read(_MOST + 1).strip()
        except OSError as error:
            raise self._refused(f"cannot be read: {error.strerror}") from error
        if len(content) < self._least:
            raise self._refused(f"holds {len(content)} bytes; {self._least} or more expected, such as random ones")
        if len(content) > _MOST:
            raise self._refused(f"holds more than {_MOST} bytes")
        return content

    def _refused(self, why: str) -> FileRefused:
        return FileRefused(f"{self._setting}: {self._path} {why}")
