"""Translates what SQLAlchemy and its drivers raise into what a store raises. The only place that knows their errors.

No message of theirs is passed on that might quote a value: PostgreSQL's about data do, and SQLAlchemy's quote all.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeout

from handler.history.base import HistoryError, StoreRefused, StoreUnavailable

_SHOWN = 200
# Connection, transaction state, password, no such database or schema, rolled back, resources, locks, operator, system.
_TAKEN = ("42501", "42P01", "0A000", "26000")
"""Rights and tables that somebody has taken away; statements prepared before a migration, or by way of a pooler."""
_PASSING_STATES = ("08", "25", "28", "3D", "3F", "40", "53", "55", "57", "58", "F0", "XX", *_TAKEN)
_DATA_STATES = ("21", "22", "23", "54")
_LASTING_STATES = ("28", "3D", "3F", "42501")
_PASSING_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
    }
)
_DATA_CODES = frozenset({sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH})


class DataRefused(HistoryError):
    """The database does not take these values. Nothing of the transaction was kept."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises `StoreUnavailable` for what may pass, `DataRefused`, and what is a mistake of ours as it is."""
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnavailable("no connection to the database became free in time") from error
    except DBAPIError as error:
        failure = _of_driver(error)
        if failure is None:
            raise
        raise failure from error
    except OverflowError as error:
        raise DataRefused("a number does not fit") from error
    except (OSError, TimeoutError) as error:
        raise StoreUnavailable(f"the database does not answer: {_told(error)}") from error


@contextmanager
def opening() -> Iterator[None]:
    """While a database is opened, what will not pass by itself is `StoreRefused`."""
    try:
        with translated():
            yield
    except StoreUnavailable as error:
        cause = error.__cause__
        if isinstance(cause, DBAPIError) and _is_lasting(cause):
            raise StoreRefused(str(error)) from cause
        raise


def _of_driver(error: DBAPIError) -> HistoryError | None:
    state, code = _state(error), _code(error)
    if error.connection_invalidated or state.startswith(_PASSING_STATES) or code in _PASSING_CODES:
        return StoreUnavailable(f"the database cannot be used now: {_told(error.orig)}")
    if state.startswith(_DATA_STATES) or code in _DATA_CODES:
        return DataRefused(f"the database refuses a value: {type(error.orig).__name__} {state or code}")
    if not state and code is None:
        return _without_code(error)
    return None


def _without_code(error: DBAPIError) -> HistoryError | None:
    """Raised by the driver itself, without asking the server."""
    causes = {type(found).__name__ for found in (error.orig, getattr(error.orig, "__cause__", None))}
    if "DataError" in causes:
        return DataRefused("the driver refuses a value")
    if causes & {"InterfaceError", "OperationalError", "ConnectionDoesNotExistError", "InternalClientError"}:
        return StoreUnavailable(f"the database cannot be used now: {_told(error.orig)}")
    return None


def _is_lasting(error: DBAPIError) -> bool:
    lasting = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
    return _state(error).startswith(_LASTING_STATES) or _code(error) in lasting


def _state(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


def _code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _told(error: BaseException | None) -> str:
    text = " ".join(str(error).split())
    # SQLAlchemy puts the class of the driver's error before its message.
    text = text.rpartition(">: ")[2]
    return text[:_SHOWN] or type(error).__name__
