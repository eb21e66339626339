"""A file that takes up room, to be given up when the volume is full.

SQLite writes down first what it deletes, and on a full volume that cannot be done: nothing could make room any more.
"""

import os
from pathlib import Path

SIZE = 16 << 20
"""Bytes: what SQLite has written down before it can be written into the database, and more."""
LOW = SIZE // 4
"""Bytes left on the volume below which the file goes."""
ENOUGH = 3 * SIZE
"""Bytes left on the volume above which it is made."""


def left_on(path: Path) -> int:
    """Bytes left on the volume of this file."""
    volume = os.statvfs(path)
    return volume.f_bavail * volume.f_frsize


class Ballast:
    """Beside the database at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve().with_name(f"{path.name}.ballast")

    def take(self, left: int) -> None:
        """Make it, where it is not there and so many bytes left on the volume are enough."""
        if left >= ENOUGH and not self._path.exists():
            self._make()

    def give_way(self, left: int) -> bool:
        """Give it up, if so many bytes left on the volume are too few. Returns whether that made room."""
        return left < LOW and self._drop()

    def _make(self) -> None:
        try:
            opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(opened, 0, SIZE)
            finally:
                os.close(opened)
        except OSError:
            self._drop()

    def _drop(self) -> bool:
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
