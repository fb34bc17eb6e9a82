"""Which version of the scheduler judged a dag's text: another may find other faults in it."""

import sqlalchemy as sa
from alembic import op

from shared.store.engine import is_postgres

revision = "0016"
down_revision = "0015"

_COMMENT = (
    "Definitions. folder_hash: what the followed folder last held, so that an edit by API stays. "
    "judged_by: the version of the scheduler that found these errors and this summary in the text"
)


def upgrade() -> None:
    """Add the column; what is there was judged by an unknown version, and is judged again."""
    op.add_column("dags", sa.Column("judged_by", sa.String(64), nullable=False, server_default=sa.text("''")))
    if is_postgres(op.get_bind()):
        op.create_table_comment("dags", _COMMENT)
