"""What is in memory has a bound: the oldest requests go, whether they have ended or not."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.history.sql.database import bytes_of_pages
from handler.history.sql.deleting import COLUMNS, delete_requests
from handler.history.sql.tables import request

MOST_BYTES = 256 << 20
"""Of a history in memory."""
_PART = 10
"""Above it, one request of so many goes."""


async def trim(connection: AsyncConnection, keep: int) -> None:
    """Delete all but the newest `keep` requests, with all that is theirs, and more if they need too much memory."""
    number = int(await connection.scalar(select(func.count()).select_from(request)) or 0)
    over = number - keep
    used, _ = await bytes_of_pages(connection)
    if used > MOST_BYTES:
        over = max(over, number // _PART + 1)
    if over > 0:
        await _delete_oldest(connection, over)


async def _delete_oldest(connection: AsyncConnection, number: int) -> None:
    oldest = select(*COLUMNS).order_by(request.c.updated, request.c.pk).limit(number)
    await delete_requests(connection, (await connection.execute(oldest)).all())
