"""The operations of the API, by what they are about. ``OPERATIONS`` is the table of them all."""

from services.api.operations import Operation
from services.api.routes.control import CONTROL
from services.api.routes.dags import DAGS
from services.api.routes.logs import LOGS
from services.api.routes.runs import RUNS
from services.api.routes.system import SYSTEM

__all__ = ["OPERATIONS"]

OPERATIONS: tuple[Operation, ...] = (*DAGS.all, *CONTROL.all, *RUNS.all, *LOGS.all, *SYSTEM.all)
