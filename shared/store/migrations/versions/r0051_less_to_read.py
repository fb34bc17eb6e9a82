"""Less is read and written of what is long.

The states of the sub-runs that a step calls have a column of their own, so that a change does not rewrite all calls. In
rows from before, the states are among the calls, in ``children``. The audit log gets indexes for its filters
``operation`` and ``outcome``. A scheduler says which form of rows and tasks it knows: the new ones are used only if all
schedulers know them.
"""

import sqlalchemy as sa
from alembic import op

from shared.store.migrations.online_index import create_index_online

revision = "0051"
down_revision = "0050"


def upgrade() -> None:
    """Create the indexes, then add the columns."""
    create_index_online("ix_audit_operation", "audit", ["operation", "at"])
    refused = sa.text("outcome = 'refused'")
    create_index_online("ix_audit_refused", "audit", ["at", "id"], postgresql_where=refused, sqlite_where=refused)
    op.add_column("nodes", sa.Column("child_states", sa.Text(), nullable=True))
    op.add_column("services", sa.Column("protocol", sa.Integer(), nullable=True))
