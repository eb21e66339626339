"""A history of many requests, made by the database itself: what is measured is how they are read."""

import sqlite3
import time
from pathlib import Path

from handler.history.sql.store import open_store

_FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO request (pk, key, id, cause, source, phase, created, updated, service, namespace, job, image, terminal,
                     attempt, started, finished, exit_code, error_code, message)
SELECT i, randomblob(16), 'invoice-' || i, 'event-' || i, '/shop', iif(i % 20, 'succeeded', 'failed'),
       :now - (:count - i) * 2.5 - 30, :now - (:count - i) * 2.5, 'service-' || (i % 50), 'default', 'job-' || i,
       'registry.example/shop/invoice:1.2', 1, 1, :now - (:count - i) * 2.5 - 25, :now - (:count - i) * 2.5,
       iif(i % 20, 0, 1), iif(i % 20, NULL, 'CONTAINER_FAILED'), iif(i % 20, NULL, 'exit code 1: no such customer')
FROM n
"""


async def fill(path: Path, count: int) -> str:
    """Make a database with so many requests that have ended. Returns its URL."""
    url = f"sqlite://{path}"
    async with open_store(url, migrate=True):
        pass
    with sqlite3.connect(path) as database:
        database.execute(_FILL, {"count": count, "now": time.time() - 60})
        database.execute("INSERT INTO counter (name, value) VALUES ('request', ?), ('event', 0)", [count])
    database.close()
    return url
