"""What one scheduler keeps in memory for all its batches."""

from dataclasses import dataclass, field

from services.scheduler.deciding.dag_folder.dag_files import DagFiles
from services.scheduler.deciding.held_reports import HeldReports
from services.scheduler.deciding.limits.workspace_rules import WorkspaceRules
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.recent import RecentRuns
from services.scheduler.deciding.report_queues import ReportQueues

__all__ = ["SchedulerMemory"]


@dataclass(slots=True)
class SchedulerMemory:
    """Caches and facts that all threads of a scheduler share."""

    plans: Plans
    files: DagFiles | None = None
    """Where DAGs are written to besides the database; ``None``: nowhere."""
    report_queues: ReportQueues = field(default_factory=lambda: ReportQueues("", "", shards=False))
    """Where reports come; by default all by the common broker queue."""
    held: HeldReports = field(default_factory=HeldReports)
    """Reports to record with the next decision about their run."""
    rules: WorkspaceRules = field(default_factory=WorkspaceRules)
    recent: RecentRuns = field(default_factory=RecentRuns)
    same_protocol: bool = False
    """Whether all schedulers know ``PROTOCOL``; see ``Transactor.note_schedulers``."""
