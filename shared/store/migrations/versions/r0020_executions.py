"""Who began an attempt or asked whether it may; what is known of a closed attempt, and the size of its log."""

import sqlalchemy as sa
from alembic import op

from shared.store.engine import is_postgres

revision = "0020"
down_revision = "0018"

_ATTEMPTS = (
    "Closed attempts, one row each; open ones live in nodes. begun: never_sent, no, perhaps or yes; the only "
    "column that may change. stdout_bytes, stderr_bytes: the size of the whole log, as the worker reported it"
)


def upgrade() -> None:
    """Create the table and add the columns. Attempts that an older scheduler closes have no values in them."""
    op.create_table(
        "executions",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("worker_id", sa.String(200), nullable=False),
        sa.Column("incarnation", sa.String(64), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_key", "token", "worker_id", "incarnation", name=op.f("pk_executions")),
        comment="Append-only: who began an attempt or asked whether it may, and the answer. accepted: it holds the "
        "attempt. begun: it has begun, or has the right to. why: its reason to ask, or why it was turned away",
    )
    op.add_column("attempts", sa.Column("begun", sa.String(10), nullable=True))
    op.add_column("attempts", sa.Column("stdout_bytes", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("stderr_bytes", sa.BigInteger(), nullable=True))
    if is_postgres(op.get_bind()):
        op.create_table_comment("attempts", _ATTEMPTS)
