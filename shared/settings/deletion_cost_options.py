"""The settings of ``dagway deletion-costs``, which runs in a pod of a Kubernetes cluster."""

from shared.settings.option import DELETION_COSTS, Option
from shared.settings.readers import folder, seconds

__all__ = ["DELETION_COST_OPTIONS"]

DELETION_COST_OPTIONS = (
    Option(
        "DAGWAY_WORKER_PODS",
        str,
        DELETION_COSTS,
        "label selector of the workers' pods, in the namespace of this one "
        "(app.kubernetes.io/name=dagway,app.kubernetes.io/component=worker)",
    ),
    Option(
        "DAGWAY_DELETION_COSTS_EVERY_S",
        seconds,
        DELETION_COSTS,
        "seconds between two checks of all workers' pods; the cost of a pod that is busy already changes at most once "
        "in four checks (15)",
        flag_name="--every-s",
    ),
    Option(
        "DAGWAY_SERVICE_ACCOUNT_DIR",
        folder,
        DELETION_COSTS,
        "folder in which Kubernetes mounts the token of the pod's service account "
        "(/var/run/secrets/kubernetes.io/serviceaccount)",
    ),
)
