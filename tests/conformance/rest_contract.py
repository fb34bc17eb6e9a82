"""The role, the permission and the failures of each operation, as the contract documents them.

Source: the OpenAPI document of Dagu's REST API v2 (1.30), and Dagu's documentation for what it does not say.
"""

__all__ = ["FAILURES", "NEEDS"]

_TEXT = """
getHealthStatus public -
login public - 401 400
getCurrentUser viewer - 401
changePassword viewer - 401 400
listUsers admin - 401
createUser admin - 401 400 409:already_exists
getUser admin - 401 404
deleteUser admin - 401 403 404
updateUser admin - 401 400 404 409:already_exists
resetUserPassword admin - 401 400 404
listAPIKeys admin - 403
createAPIKey admin - 403 400 409:already_exists
getAPIKey admin - 403 404
deleteAPIKey admin - 403 404
updateAPIKey admin - 403 400 404 409:already_exists
getWorkers viewer - 503:service_unavailable
listDAGs viewer - 400
createNewDAG manager write_dags 400 409:already_exists
validateDAGSpec viewer - 400
getDAGDetails viewer - 404
deleteDAG manager write_dags 404
executeDAG operator run_dags 400 404 409:already_running 409:already_exists
enqueueDAGDAGRun operator run_dags 400 404 409:already_running 409:already_exists 409:max_run_reached
getDAGDAGRunHistory viewer -
getDAGDAGRunDetails viewer - 404
getDAGSpec viewer - 404
updateDAGSpec manager write_dags 400 404
updateDAGSuspensionState operator run_dags 400 404
renameDAG manager write_dags 400 400:already_running 404 409:already_exists
stopAllDAGRuns operator run_dags 404
searchDAGs viewer - 400
getAllDAGTags viewer -
listDAGRuns viewer - 400
executeDAGRunFromSpec operator run_dags 400 409:already_exists 409:max_run_reached
enqueueDAGRunFromSpec operator run_dags 400 409:already_exists 409:max_run_reached
listDAGRunsByName viewer - 400
getDAGRunDetails viewer - 404
getDAGRunSpec viewer - 404
rescheduleDAGRun operator run_dags 400 404 409:already_exists 409:max_run_reached
getSubDAGRuns viewer - 404
dequeueDAGRun operator run_dags 400 404
getDAGRunLog viewer - 400 404
getDAGRunOutputs viewer - 404
retryDAGRun operator run_dags 400 400:already_running 404
terminateDAGRun operator run_dags 400:not_running 404
getDAGRunStepLog viewer - 400 404
updateDAGRunStepStatus operator run_dags 400 404
approveDAGRunStep operator run_dags 400 404
rejectDAGRunStep operator run_dags 400 404
approveSubDAGRunStep operator run_dags 400 404
rejectSubDAGRunStep operator run_dags 400 404
getSubDAGRunDetails viewer - 404
getSubDAGRunLog viewer - 400 404
getSubDAGRunStepLog viewer - 400 404
updateSubDAGRunStepStatus operator run_dags 400 404
listQueues viewer -
getResourceHistory viewer -
getSchedulerStatus viewer -
getCoordinatorStatus viewer -
getMetrics viewer -
triggerWebhook public - 401 403 404 413:bad_request 409:already_exists 400
listWebhooks admin - 401
getDAGWebhook admin - 401 404
createDAGWebhook admin - 401 404 409:already_exists
deleteDAGWebhook admin - 401 404
regenerateDAGWebhookToken admin - 401 404
toggleDAGWebhook admin - 401 400 404
"""

_USUAL = {"400": "bad_request", "401": "unauthorized", "403": "forbidden", "404": "not_found"}
"""The error code of each status, where the table names none."""
_LINES = [line.split() for line in _TEXT.strip().splitlines()]

NEEDS: dict[str, tuple[str, str | None]] = {
    name: (role, None if permission == "-" else permission) for name, role, permission, *_ in _LINES
}
"""By operation: the lowest role that may use it, and the permission that the configuration must grant."""

FAILURES: frozenset[tuple[str, int, str]] = frozenset(
    (name, int(status), code or _USUAL[status])
    for name, _, _, *failures in _LINES
    for status, _, code in (failure.partition(":") for failure in failures)
)
"""``(operation, status, code)`` of every documented failure."""
