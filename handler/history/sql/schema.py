"""Whether the database has the tables of this program, and brings them up to date."""

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.history.base import StoreRefused
from handler.history.sql.locks import migration_lock
from handler.history.sql.revisions import REVISIONS
from handler.history.sql.tables import VERSION_TABLE, metadata

logger = logging.getLogger(__name__)
_DIRECTORY = Path(__file__).with_name("migrations")


async def revision_of(connection: AsyncConnection) -> str | None:
    """Of the schema; None if there is none yet."""
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(VERSION_TABLE)):
        return None
    found = await connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - a name of ours
    return None if found is None else str(found)


async def require_current(connection: AsyncConnection) -> None:
    """Raises `StoreRefused` for any other schema than this program's."""
    revision = await revision_of(connection)
    require_known(revision)
    if revision != REVISIONS[-1]:
        there = "no tables yet" if revision is None else f"tables of revision {revision}"
        raise StoreRefused(
            f"JOBRELAY_HISTORY: the database has {there}, and this program needs revision {REVISIONS[-1]}: "
            "`jobrelay run --role console` brings it up to date"
        )


def require_known(revision: str | None) -> None:
    """Raises `StoreRefused` for a newer schema than this program's."""
    if revision is not None and revision not in REVISIONS:
        raise StoreRefused(
            f"JOBRELAY_HISTORY: the database has tables of revision {revision}, which are newer than this program's "
            f"({REVISIONS[-1]}): use the newer program"
        )


async def create(connection: AsyncConnection) -> None:
    """All tables, in a database that lasts no longer than the program."""
    await connection.run_sync(metadata.create_all)


async def bring_up_to_date(connection: AsyncConnection) -> None:
    """In a transaction of the caller's. Processes that do so at the same time wait for each other.

    Raises `StoreRefused`.
    """
    if connection.dialect.name == "postgresql":
        await migration_lock(connection)
    revision = await revision_of(connection)
    require_known(revision)
    if revision == REVISIONS[-1]:
        return
    try:
        await connection.run_sync(move, REVISIONS[-1])
        logger.info("tables of the history brought from revision %s to %s", revision or "none", REVISIONS[-1])
    except DBAPIError as error:
        if "already exists" not in str(error.orig):
            raise
        raise StoreRefused("JOBRELAY_HISTORY: the database has tables of something else with our names") from error


def move(connection: Connection, revision: str) -> None:
    """Upgrade or downgrade to this revision; `base` is no tables at all."""
    # Takes a moment to import, and is needed once.
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext

    # It tells each step, and what it thinks of the database.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_DIRECTORY).replace("%", "%%"))
    config.attributes["connection"] = connection
    now = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    order = ("base", *REVISIONS)
    back = now is not None and order.index(revision) < order.index(now)
    (command.downgrade if back else command.upgrade)(config, revision)
