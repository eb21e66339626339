"""The events that asked for requests. Of requests before there are none: they are kept as their pods are noted."""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "asked",
        sa.Column("request", NUMBER, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["request"], ["request.pk"], name="fk_asked_request", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("request", name="pk_asked"),
    )


def downgrade() -> None:
    op.drop_table("asked")
