"""Compare two renderings of the system by what they mean, not by how they are written.

Names and what runs must agree: images, ports, probes, settings, secrets, rights, volumes, limits, networks. Labels,
selectors and hooks may differ, since each tool has its own: Helm's have the name of the release.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from shared.settings.config import load_config
from tests.deploy.manifests import WORKLOADS, Object, containers, name_of
from tests.deploy.security_rules import environment

__all__ = ["differences"]

_POD = (
    "terminationGracePeriodSeconds",
    "securityContext",
    "serviceAccountName",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "restartPolicy",
    "volumes",
)
_CONTAINER = (
    "name",
    "image",
    "imagePullPolicy",
    "args",
    "ports",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
    "lifecycle",
    "resources",
    "securityContext",
    "volumeMounts",
)
_WORKLOAD = ("replicas", "strategy", "backoffLimit", "activeDeadlineSeconds")
_SPREAD = ("maxSkew", "topologyKey", "whenUnsatisfiable")
_SELECTORS = ("selector", "podSelector")
_RELEASE = "app.kubernetes.io/instance"
_RIGHTS = ("rules", "roleRef")


def differences(one: list[Object], other: list[Object]) -> list[str]:
    """Return what differs, each as ``KIND/NAME field: here, there``; objects that only one side has come first."""
    left, right = _meanings(one), _meanings(other)
    lacking = [f"{name}: only on one side" for name in sorted(left.keys() ^ right.keys())]
    return lacking + [
        f"{name} {field}: {left[name].get(field)!r}, {right[name].get(field)!r}"
        for name in sorted(left.keys() & right.keys())
        for field in sorted(left[name].keys() | right[name].keys())
        if left[name].get(field) != right[name].get(field)
    ]


def _meanings(objects: list[Object]) -> dict[str, dict[str, Any]]:
    """Return the fields that count of each object; ConfigMaps count through the settings of the pods that read them."""
    return {
        name_of(each): dict(_workload(objects, each) if each["kind"] in WORKLOADS else _other(each))
        for each in objects
        if each["kind"] not in ("ConfigMap", "Namespace")
    }


def _workload(objects: list[Object], workload: Object) -> Iterator[tuple[str, Any]]:
    spec, pod = workload["spec"], workload["spec"]["template"]["spec"]
    yield from ((field, spec.get(field)) for field in _WORKLOAD)
    yield from ((field, pod.get(field)) for field in _POD)
    yield "spread", [[one[field] for field in _SPREAD] for one in pod.get("topologySpreadConstraints", [])]
    for container in containers(workload["spec"]["template"]):
        yield from ((f"{container['name']} {field}", container.get(field)) for field in _CONTAINER)
        # The setting with a selector may differ as other selectors do.
        config = replace(load_config({}, environment(objects, container)), worker_pods="")
        yield f"{container['name']} settings", config
        references = {each["name"]: each["valueFrom"] for each in container["env"] if "valueFrom" in each}
        yield f"{container['name']} secrets", references


def _other(thing: Object) -> Iterator[tuple[str, Any]]:
    spec = {field: value for field, value in thing.get("spec", {}).items() if field not in _SELECTORS}
    yield from ((field, _without_release(value)) for field, value in spec.items())
    yield from ((field, thing.get(field)) for field in _RIGHTS)
    if thing["kind"] == "Ingress":
        yield "annotations", thing["metadata"].get("annotations")
    if thing["kind"] == "ServiceAccount":
        yield "token", thing.get("automountServiceAccountToken")


def _without_release(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_release(each) for key, each in value.items() if key != _RELEASE}
    return [_without_release(each) for each in value] if isinstance(value, list) else value
