"""The tables, the same on SQLite and PostgreSQL. Times are epoch seconds. Any change here needs a migration.

Every index serves a page, a search or the cascade of a deletion; `paging` says which. `request.key` is a digest of id,
cause and source: these may be long, and one of them has an index of its own. `tag` holds nothing that `request` does
not: it is an index over the tags there.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

VERSION_TABLE = "jobrelay_version"
UNREADABLE_MOST = 1000
UNREADABLE_BYTES = 64 << 10

# SQLite numbers rows with a column of exactly this type.
_Number = BigInteger().with_variant(Integer(), "sqlite")
# Ids are found by their beginning: sorted by their bytes, as SQLite does, in whatever way a server sorts words.
_Id = Text().with_variant(Text(collation="C"), "postgresql")
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)

request = Table(
    "request",
    metadata,
    Column("pk", _Number, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False),
    Column("id", _Id, nullable=False),
    Column("cause", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("function", Text),
    Column("service", Text),
    Column("namespace", Text),
    Column("job", Text),
    Column("job_uid", Text),
    Column("reason", Text),
    Column("terminal", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("image", Text),
    Column("cpu", Double),
    Column("memory", BigInteger),
    Column("gpus", Integer),
    Column("priority", Integer),
    Column("event_time", Double),
    Column("started", Double),
    Column("finished", Double),
    Column("exit_code", Integer),
    Column("error_code", Text),
    Column("message", Text),
    Column("result", LargeBinary),
    Column("peak_cpu", Double),
    Column("peak_memory", BigInteger),
    Column("replay_of", Text),
    Column("tags", Text),
)
Index("uq_request_key", request.c.key, unique=True)
Index("ix_request_updated", request.c.updated, request.c.pk)
Index("ix_request_phase", request.c.phase, request.c.updated, request.c.pk)
Index("ix_request_service", request.c.service, request.c.phase, request.c.updated, request.c.pk)
Index("ix_request_id", request.c.id, request.c.updated, request.c.pk)

tag = Table(
    "tag",
    metadata,
    Column("tag", Text, primary_key=True),
    Column("phase", Text, primary_key=True),
    Column("updated", Double, primary_key=True),
    Column("request", _Number, primary_key=True),
    # No foreign key: it would need an index by request. Whoever deletes a request knows its tags.
    sqlite_with_rowid=False,
)

event = Table(
    "event",
    metadata,
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("request", _Number, ForeignKey("request.pk", ondelete="CASCADE"), nullable=False),
    Column("time", Double, nullable=False),
    Column("phase", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
Index("uq_event_id", event.c.id, unique=True)
Index("ix_event_request", event.c.request, event.c.position)

pod = Table(
    "pod",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("request", _Number, ForeignKey("request.pk", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("node", Text),
    Column("index", Integer),
    Column("attempt", Integer),
    Column("started", Double),
    Column("finished", Double),
    Column("exit_code", Integer),
    Column("reason", Text),
    sqlite_with_rowid=False,
)
Index("ix_pod_request", pod.c.request)

asked = Table(
    "asked",
    metadata,
    Column("request", _Number, ForeignKey("request.pk", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
"""The event that asked for a request. Beside it, and not in it: few read it, and many read requests."""

podlog = Table(
    "podlog",
    metadata,
    Column("pod", Text, ForeignKey("pod.uid", ondelete="CASCADE"), primary_key=True),
    Column("container", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("head", Integer, nullable=False),
    Column("chunks", Text, nullable=False),
    Column("reason", Text),
    Column("read", Double, nullable=False),
    sqlite_with_rowid=False,
)
Index(
    "ix_podlog_read",
    podlog.c.read,
    podlog.c.pod,
    podlog.c.container,
    sqlite_where=podlog.c.bytes > 0,
    postgresql_where=podlog.c.bytes > 0,
)

log = Table(
    "log",
    metadata,
    Column("pod", Text, primary_key=True),
    Column("container", Text, primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(["pod", "container"], ["podlog.pod", "podlog.container"], ondelete="CASCADE"),
)

action = Table(
    "action",
    metadata,
    Column("id", Text, primary_key=True),
    Column("time", Double, nullable=False),
    Column("actor", Text),
    Column("verb", Text),
    Column("request", Text),
    Column("outcome", Text, nullable=False),
    Column("code", Text),
    sqlite_with_rowid=False,
)
Index("ix_action_time", action.c.time, action.c.id)

stat = Table(
    "stat",
    metadata,
    Column("hour", BigInteger, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("phase", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("wait", Double, nullable=False),
    Column("run", Double, nullable=False),
    Column("cpu", Double, nullable=False),
    sqlite_with_rowid=False,
)

daily = Table(
    "daily",
    metadata,
    Column("day", BigInteger, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("created", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("succeeded", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    Column("wait", Double, nullable=False),
    Column("run", Double, nullable=False),
    Column("cpu", Double, nullable=False),
    Column("waits", LargeBinary),
    Column("runs", LargeBinary),
    sqlite_with_rowid=False,
)
"""The sums of `stat` by the day: those of a month are too many rows to look at. Its spreads are MessagePack."""

unreadable = Table(
    "unreadable",
    metadata,
    Column("broker", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("time", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

cursor = Table(
    "cursor",
    metadata,
    Column("broker", Text, primary_key=True),
    Column("stream", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
)

counter = Table(
    "counter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""The last numbers given to requests and events, which are never given again, whatever was deleted."""
