"""The state on disk: a SQLite file of objects and a few named values. Knows bytes, not Kubernetes."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

Row = tuple[str, str, str]  # resource, namespace, name

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Database:
    """A write-through copy of the store, for a single process. OSError: another process has locked the file."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            # A committed transaction survives a crash of this process, but not of the machine.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=OFF"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(_SCHEMA)
            self._connection.executescript("BEGIN IMMEDIATE; COMMIT;")
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise OSError(f"{path} is in use by another process, or unreadable: {error}") from error

    def load(self) -> Iterator[tuple[str, str, str, bytes]]:
        yield from self._connection.execute("SELECT resource, namespace, name, data FROM objects")

    def value(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def write(self, changes: Iterable[tuple[Row, bytes | None]], *, version: int) -> None:
        """Commit `changes` (None: the object was removed) and the newest version, all or nothing."""
        gone: list[Row] = []
        kept: list[tuple[str, str, str, bytes]] = []
        for row, data in changes:
            if data is None:
                gone.append(row)
            else:
                kept.append((*row, data))
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", kept)
            self._connection.executemany("DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", gone)
            execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", (str(version),))
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._connection.close()
