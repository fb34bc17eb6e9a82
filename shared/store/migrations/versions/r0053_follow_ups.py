"""The node that sends the mails of a run and removes its container has the kind and name that users see."""

from alembic import op

revision = "0053"
down_revision = "0052"


def upgrade() -> None:
    """Rename the nodes."""
    op.execute("UPDATE nodes SET kind = 'follow_up', name = 'follow-up' WHERE kind = 'errand'")
