"""Only one process records: what it holds while it does, and what frees it, whatever becomes of the process.

SQLite: a lock on a file beside the database, which the kernel frees. PostgreSQL: an advisory lock of the session that
does all the writes, so that whoever lost it cannot write either. Its number is made from the schema, since the server
keeps the locks of each database apart.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.history.base import StoreRefused, StoreUnavailable

POLL_SECONDS = 0.5
_MIGRATING, _WRITING = "migrating", "writing"
# Where several hosts, or a host and its guests, write: there they do not see each other's locks and shared memory.
_NETWORKS = ("nfs", "cifs", "smb", "9p", "fuse.", "ceph", "gluster", "lustre", "afs", "ncp", "gfs", "ocfs", "beegfs")
_LOCAL = ("fuse.fuse-overlayfs",)
_MOUNTS = Path("/proc/self/mounts")


@asynccontextmanager
async def file_lock(path: Path) -> AsyncIterator[None]:
    """Hold the lock of the database at `path` within the block; wait for it as long as it takes."""
    beside = path.with_name(path.name + ".lock")
    while (held := _try(beside)) is None:
        await asyncio.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        os.close(held)


def _try(path: Path) -> int | None:
    try:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StoreUnavailable(f"the lock file beside the database: {error.strerror}") from error
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have removed it meanwhile; then the next process would lock another file.
        if os.path.samestat(os.fstat(opened), os.stat(path)):
            return opened
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        os.close(opened)
        raise StoreUnavailable(f"the lock file beside the database cannot be locked: {error.strerror}") from error
    os.close(opened)
    return None


async def session_lock(connection: AsyncConnection) -> int:
    """Take the lock for this session; wait as long as it takes. Returns the server's number of the session."""
    while True:
        async with connection.begin():
            number = await _number(connection, _WRITING)
            taken = text("SELECT pg_try_advisory_lock(:number), pg_backend_pid()")
            held, session = (await connection.execute(taken, {"number": number})).one()
        if held:
            return int(session)
        await asyncio.sleep(POLL_SECONDS)


async def migration_lock(connection: AsyncConnection) -> None:
    """Let nobody else migrate until the transaction ends."""
    number = await _number(connection, _MIGRATING)
    await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


async def _number(connection: AsyncConnection, purpose: str) -> int:
    schema = (await connection.execute(text("SELECT current_schema()"))).scalar_one()
    found = blake2b(f"jobrelay {purpose} {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(found, "big", signed=True)


def require_local(path: Path) -> None:
    """Raises `StoreRefused` if the file is, or would be, where SQLite's locks and shared memory do not work."""
    kind = _file_system(path, _MOUNTS.read_text() if _MOUNTS.exists() else "")
    if kind.startswith(_NETWORKS) and kind not in _LOCAL:
        raise StoreRefused(
            f"JOBRELAY_HISTORY: the database is on a network file system ({kind}), where SQLite loses data: use a "
            "volume of this machine, or PostgreSQL"
        )


def _file_system(path: Path, mounts: str) -> str:
    """The type of the file system in a table like /proc/mounts; empty if it does not say."""
    found = (0, "")
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split(" ")
        place = place.encode().decode("unicode_escape")
        if path.is_relative_to(place) and len(place) >= found[0]:
            found = (len(place), kind)
    return found[1]
