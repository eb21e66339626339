"""What is in memory has a bound: the oldest requests go, whether they have ended or not."""

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.history.sql.columns import tags_of
from handler.history.sql.tables import request, tag

MOST_BYTES = 256 << 20
"""Of a history in memory."""
_PART = 10
"""Above it, one request of so many goes."""
DELETE_TAGS = delete(tag).where(
    tag.c.tag == bindparam("old_tag"),
    tag.c.phase == bindparam("old_phase"),
    tag.c.updated == bindparam("old_updated"),
    tag.c.request == bindparam("old_request"),
)


async def trim(connection: AsyncConnection, keep: int) -> None:
    """Delete all but the newest `keep` requests, with all that is theirs, and more if they need too much memory."""
    number = int(await connection.scalar(select(func.count()).select_from(request)) or 0)
    over = number - keep
    if await _used(connection) > MOST_BYTES:
        over = max(over, number // _PART + 1)
    if over > 0:
        await _delete_oldest(connection, over)


async def _delete_oldest(connection: AsyncConnection, number: int) -> None:
    asked = select(request.c.pk, request.c.phase, request.c.updated, request.c.tags)
    rows = (await connection.execute(asked.order_by(request.c.updated, request.c.pk).limit(number))).all()
    tags = [
        {"old_tag": name, "old_phase": row.phase, "old_updated": row.updated, "old_request": row.pk}
        for row in rows
        for name in tags_of(row.tags)
    ]
    if tags:
        await connection.execute(DELETE_TAGS, tags)
    await connection.execute(delete(request).where(request.c.pk == bindparam("old")), [{"old": row.pk} for row in rows])


async def _used(connection: AsyncConnection) -> int:
    pages, free, size = [
        int((await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one())
        for name in ("page_count", "freelist_count", "page_size")
    ]
    return (pages - free) * size
