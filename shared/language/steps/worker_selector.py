"""Read ``workerSelector``: the labels that workers need."""

from shared.admission.workers import not_served
from shared.language.yaml.fields import Fields

__all__ = ["read_worker_selector"]


def read_worker_selector(fields: Fields) -> dict[str, str]:
    """Read ``workerSelector``. Warns of a worker pool that cannot exist: no run would start."""
    selector = fields.text_map("workerSelector")
    obstacle = not_served(selector, "", reserved={})
    if obstacle is not None:
        fields.warn("workerSelector", str(obstacle))
    return selector
