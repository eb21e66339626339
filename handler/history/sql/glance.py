"""Reads what a shell completes, without the library that reads all else, whose import takes half of the second for it.

Nothing here changes the database, nor says what is wrong with it.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from handler.history.sql.beginnings import LAST
from handler.settings.reach import sqlite_path

_BUSY_SECONDS = 0.1
_COLUMNS = "id, source, service, phase, updated"
# Along an index each: by the last change, or by the id.
_LATEST = f"SELECT {_COLUMNS} FROM request ORDER BY updated DESC LIMIT :limit"  # noqa: S608 - names of ours
_BEGUN = f"SELECT {_COLUMNS} FROM request WHERE id >= :low AND id < :high ORDER BY id LIMIT :limit"  # noqa: S608
_CONTAINERS = """SELECT DISTINCT podlog.container AS value FROM request
 JOIN pod ON pod.request = request.pk JOIN podlog ON podlog.pod = pod.uid
 WHERE request.id = :id LIMIT :limit"""
Row = Mapping[str, Any]


async def requests(url: str, beginning: str, *, limit: int) -> Sequence[Row]:
    """Those whose ids begin so, with `id`, `source`, `service`, `phase` and `updated`, in epoch seconds.

    Raises whatever the driver of the database raises.
    """
    if not beginning:
        return await _rows(url, _LATEST, {"limit": limit})
    return await _rows(url, _BEGUN, {"low": beginning, "high": beginning + LAST, "limit": limit})


async def containers(url: str, request_id: str, *, limit: int) -> Sequence[str]:
    """Names of the containers of this id whose logs are kept, or are known to have gone. Raises like `requests`."""
    return [row["value"] for row in await _rows(url, _CONTAINERS, {"id": request_id, "limit": limit})]


async def _rows(url: str, asked: str, values: Mapping[str, Any]) -> Sequence[Row]:
    path = sqlite_path(url)
    if path is None:
        return await _from_server(url, asked, values)
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(asked, values)]


async def _from_server(url: str, asked: str, values: Mapping[str, Any]) -> Sequence[Row]:
    # It takes as long to import as all the rest.
    import asyncpg

    for place, name in enumerate(values, 1):
        asked = asked.replace(f":{name}", f"${place}")
    connection = await asyncpg.connect(url)  # type: ignore[no-untyped-call]
    try:
        return [dict(row) for row in await connection.fetch(asked, *values.values())]
    finally:
        connection.terminate()
