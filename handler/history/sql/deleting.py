"""Deletes requests with all that is theirs."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from handler.history.sql.columns import tag_rows, tags_of
from handler.history.sql.statements import DELETE_TAG, many, old
from handler.history.sql.tables import request

COLUMNS = (request.c.pk, request.c.phase, request.c.updated, request.c.tags)
"""What has to be known of a request to delete it: its rows in the index of tags are found by these."""


async def delete_requests(connection: AsyncConnection, rows: Sequence[Any]) -> None:
    """`rows`: `COLUMNS` of each."""
    tags = chain.from_iterable(tag_rows(row.pk, row.phase, row.updated, tags_of(row.tags)) for row in rows)
    await many(connection, DELETE_TAG, map(old, tags))
    await connection.execute(delete(request).where(request.c.pk.in_([row.pk for row in rows])))
