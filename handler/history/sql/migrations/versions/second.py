"""Sums by the day, with how seconds are spread. Of days before it is known how many there were, not how they spread."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"
branch_labels = None
depends_on = None

PHASES = ("created", "rejected", "succeeded", "failed", "cancelled")


def upgrade() -> None:
    op.create_table(
        "daily",
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        *(sa.Column(phase, sa.BigInteger, nullable=False) for phase in PHASES),
        sa.Column("wait", sa.Double, nullable=False),
        sa.Column("run", sa.Double, nullable=False),
        sa.Column("cpu", sa.Double, nullable=False),
        sa.Column("waits", sa.LargeBinary),
        sa.Column("runs", sa.LargeBinary),
        sa.PrimaryKeyConstraint("day", "service", name="pk_daily"),
        sqlite_with_rowid=False,
    )
    counts = ", ".join(f"SUM(CASE WHEN phase = '{phase}' THEN n ELSE 0 END)" for phase in PHASES)
    op.execute(
        f"INSERT INTO daily (day, service, {', '.join(PHASES)}, wait, run, cpu) "  # noqa: S608 - names of ours
        f"SELECT hour - hour % 86400, service, {counts}, SUM(wait), SUM(run), SUM(cpu) FROM stat "
        "GROUP BY hour - hour % 86400, service"
    )


def downgrade() -> None:
    op.drop_table("daily")
