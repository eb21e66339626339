"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "action",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("actor", sa.Text),
        sa.Column("verb", sa.Text),
        sa.Column("request", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("code", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_action"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_action_time", "action", ["time", "id"])
    op.create_table(
        "counter",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counter"),
    )
    op.create_table(
        "cursor",
        sa.Column("broker", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("broker", name="pk_cursor"),
    )
    op.create_table(
        "request",
        sa.Column("pk", NUMBER, autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("function", sa.Text),
        sa.Column("service", sa.Text),
        sa.Column("namespace", sa.Text),
        sa.Column("job", sa.Text),
        sa.Column("job_uid", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("terminal", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("image", sa.Text),
        sa.Column("cpu", sa.Double),
        sa.Column("memory", sa.BigInteger),
        sa.Column("gpus", sa.Integer),
        sa.Column("priority", sa.Integer),
        sa.Column("event_time", sa.Double),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Column("exit_code", sa.Integer),
        sa.Column("error_code", sa.Text),
        sa.Column("message", sa.Text),
        sa.Column("result", sa.LargeBinary),
        sa.Column("peak_cpu", sa.Double),
        sa.Column("peak_memory", sa.BigInteger),
        sa.Column("replay_of", sa.Text),
        sa.Column("tags", sa.Text),
        sa.PrimaryKeyConstraint("pk", name="pk_request"),
    )
    op.create_index("ix_request_id", "request", ["id", "updated", "pk"])
    op.create_index("ix_request_phase", "request", ["phase", "updated", "pk"])
    op.create_index("ix_request_service", "request", ["service", "phase", "updated", "pk"])
    op.create_index("ix_request_updated", "request", ["updated", "pk"])
    op.create_index("uq_request_key", "request", ["key"], unique=True)
    op.create_table(
        "stat",
        sa.Column("hour", sa.BigInteger, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("wait", sa.Double, nullable=False),
        sa.Column("run", sa.Double, nullable=False),
        sa.Column("cpu", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("hour", "service", "phase", name="pk_stat"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tag",
        sa.Column("tag", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("request", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("tag", "phase", "updated", "request", name="pk_tag"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "unreadable",
        sa.Column("broker", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("broker", "stream", "sequence", name="pk_unreadable"),
    )
    op.create_table(
        "event",
        sa.Column("position", NUMBER, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("request", NUMBER, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["request"], ["request.pk"], name="fk_event_request", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("position", name="pk_event"),
    )
    op.create_index("ix_event_request", "event", ["request", "position"])
    op.create_index("uq_event_id", "event", ["id"], unique=True)
    op.create_table(
        "pod",
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("request", NUMBER, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("node", sa.Text),
        sa.Column("index", sa.Integer),
        sa.Column("attempt", sa.Integer),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Column("exit_code", sa.Integer),
        sa.Column("reason", sa.Text),
        sa.ForeignKeyConstraint(["request"], ["request.pk"], name="fk_pod_request", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", name="pk_pod"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_pod_request", "pod", ["request"])
    op.create_table(
        "podlog",
        sa.Column("pod", sa.Text, nullable=False),
        sa.Column("container", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("head", sa.Integer, nullable=False),
        sa.Column("chunks", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("read", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["pod"], ["pod.uid"], name="fk_podlog_pod", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pod", "container", name="pk_podlog"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_podlog_read",
        "podlog",
        ["read", "pod", "container"],
        sqlite_where=sa.text("bytes > 0"),
        postgresql_where=sa.text("bytes > 0"),
    )
    op.create_table(
        "log",
        sa.Column("pod", sa.Text, nullable=False),
        sa.Column("container", sa.Text, nullable=False),
        sa.Column("chunk", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["pod", "container"], ["podlog.pod", "podlog.container"], name="fk_log_podlog", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pod", "container", "chunk", name="pk_log"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Each event moves its request in every index that has its time. What is left behind there costs whoever reads.
        for table in ("request", "tag"):
            op.execute(f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02)")


def downgrade() -> None:
    for table in (
        "log",
        "podlog",
        "pod",
        "event",
        "unreadable",
        "tag",
        "stat",
        "request",
        "cursor",
        "counter",
        "action",
    ):
        op.drop_table(table)
