"""Pages of dags in the order of their names, however many there are."""

import sqlalchemy as sa
from alembic import op

from shared.store.engine import is_postgres

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the index."""
    bytewise = ' COLLATE "C"' if is_postgres(op.get_bind()) else ""
    order = [sa.text(f"(lower(dag_name){bytewise})"), sa.text(f"(file_name{bytewise})")]
    op.create_index("ix_dags_name_order", "dags", order)
