"""The routes of the API, one module per subject. ``OPERATIONS`` lists the operations of all modules."""

from services.api.operations import Operation
from services.api.routes.accounts import ACCOUNTS
from services.api.routes.approvals import APPROVALS
from services.api.routes.attempts import ATTEMPTS
from services.api.routes.audit import AUDIT
from services.api.routes.bulk import BULK
from services.api.routes.commands import COMMANDS
from services.api.routes.control import CONTROL
from services.api.routes.dags import DAGS
from services.api.routes.dead_letters import DEAD_LETTERS
from services.api.routes.docs import DOCS
from services.api.routes.effective_settings import SETTINGS
from services.api.routes.events import EVENTS
from services.api.routes.fires import FIRES
from services.api.routes.keys import KEYS
from services.api.routes.logs import LOGS
from services.api.routes.overview import OVERVIEW
from services.api.routes.pauses import PAUSES
from services.api.routes.pools import POOLS
from services.api.routes.queues import QUEUES
from services.api.routes.runs import RUNS
from services.api.routes.search import SEARCH
from services.api.routes.secrets import SECRETS
from services.api.routes.starts import STARTS
from services.api.routes.statistics import STATISTICS
from services.api.routes.sub_runs import SUB_RUNS
from services.api.routes.system import SYSTEM
from services.api.routes.versions import VERSIONS
from services.api.routes.webhooks import WEBHOOKS
from services.api.routes.worker_pools import WORKER_POOLS
from services.api.routes.workers import WORKERS
from services.api.routes.workspaces import WORKSPACES

__all__ = ["OPERATIONS"]

OPERATIONS: tuple[Operation, ...] = (
    *DAGS.all,
    *SEARCH.all,
    *VERSIONS.all,
    *STATISTICS.all,
    *STARTS.all,
    *CONTROL.all,
    *BULK.all,
    *COMMANDS.all,
    *APPROVALS.all,
    *RUNS.all,
    *SUB_RUNS.all,
    *ATTEMPTS.all,
    *LOGS.all,
    *EVENTS.all,
    *OVERVIEW.all,
    *SYSTEM.all,
    *WORKERS.all,
    *WORKER_POOLS.all,
    *DEAD_LETTERS.all,
    *FIRES.all,
    *QUEUES.all,
    *PAUSES.all,
    *POOLS.all,
    *ACCOUNTS.all,
    *KEYS.all,
    *WEBHOOKS.all,
    *SECRETS.all,
    *AUDIT.all,
    *SETTINGS.all,
    *DOCS.all,
    *WORKSPACES.all,
)
