"""Read the Kubernetes manifests from their sources, as Helm renders them and, with kubectl, as kustomize does.

Reading the sources follows a kustomization's resources and ConfigMap generators and applies its images, but
not its patches. So the sources are checked on every machine, and the patches of overlays where ``kubectl`` is
installed.
"""

import copy
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.chart import VALUE_SETS, chart_set

__all__ = [
    "ROOT",
    "WORKLOADS",
    "Object",
    "containers",
    "custom_kinds",
    "manifest_set",
    "name_of",
    "of_kind",
    "ours",
    "pod_templates",
    "ports_out",
    "selects",
    "set_names",
]

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
_K8S = ROOT / "deploy" / "k8s"
_READ = ("base", "dev", "prod")


def set_names() -> list[str]:
    """Return the names of all sets of manifests to check. Reads and renders nothing."""
    read_ones = [f"{name}-sources" for name in _READ]
    # Components can only be rendered, not read.
    rendered = [f"{name}-rendered" for name in ["base", *_names("overlays")]]
    rendered += [f"{name}-component" for name in _names("components")]
    return sorted(read_ones + (rendered if shutil.which("kubectl") else []) + [f"{name}-chart" for name in VALUE_SETS])


def _names(kind: str) -> list[str]:
    return sorted(folder.name for folder in (_K8S / kind).iterdir())


@cache
def manifest_set(name: str) -> list[Object]:
    """Return the objects of a set, which the caller must not change. A set is read or rendered once per process.

    ``NAME-component`` is the base with one of our components; rendering needs ``kubectl``.

    Kinds that are no part of Kubernetes are left out; see ``custom_kinds``.
    """
    return [each for each in _all_objects(name) if not _is_custom(each)]


def custom_kinds(name: str) -> list[Object]:
    """Return the objects of a set whose kinds an operator brings: KEDA, Prometheus, Gateway API, External Secrets."""
    return [each for each in _all_objects(name) if _is_custom(each)]


def _is_custom(thing: Object) -> bool:
    group = thing["apiVersion"].rpartition("/")[0]
    return "." in group and (not group.endswith(".k8s.io") or group.startswith("gateway."))


@cache
def _all_objects(name: str) -> list[Object]:
    name, _, how = name.rpartition("-")
    if how == "chart":
        return chart_set(name)
    folder = _K8S / (name if name == "base" else f"overlays/{name}")
    if how == "sources":
        return read(folder)
    if how == "rendered":
        return _rendered(folder)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        k8s = os.path.relpath(_K8S, folder)
        text = f"resources: [{k8s}/base]\ncomponents: [{k8s}/components/{name}]\n"
        (folder / "kustomization.yaml").write_text(text)
        return _rendered(folder)


def _rendered(folder: Path) -> list[Object]:
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return _documents(done.stdout)


def read(folder: Path) -> list[Object]:
    """Return the objects of a kustomization, without applying patches."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    objects: list[Object] = []
    for name in kustomization.get("resources", []):
        path = folder / name
        objects += read(path) if path.is_dir() else _documents(path.read_text())
    objects += [_config_map(folder, item) for item in kustomization.get("configMapGenerator", [])]
    for pairs in (entry["pairs"] for entry in kustomization.get("labels", []) if entry.get("includeTemplates")):
        for template in pod_templates(objects):
            template["metadata"]["labels"] = {**pairs, **template["metadata"]["labels"]}
    for image in kustomization.get("images", []):
        for container in (each for template in pod_templates(objects) for each in containers(template)):
            if container["image"].partition(":")[0] == image["name"]:
                container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
    return objects


def _documents(text: str) -> list[Object]:
    # A YAML anchor makes two places the same object; copy, so that a change affects one place only.
    return [copy.deepcopy(each) for each in yaml.safe_load_all(text) if each]


def _config_map(folder: Path, generator: Object) -> Object:
    data = dict(literal.split("=", 1) for literal in generator.get("literals", []))
    data |= {name: (folder / name).read_text() for name in generator.get("files", [])}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def of_kind(objects: list[Object], *kinds: str) -> Iterator[Object]:
    """Yield the objects of these kinds."""
    return (each for each in objects if each["kind"] in kinds)


def pod_templates(objects: list[Object]) -> Iterator[Object]:
    """Yield the pod template of every workload."""
    for workload in of_kind(objects, *WORKLOADS):
        yield workload["spec"]["template"]


def containers(template: Object) -> list[Object]:
    """Return all containers of a pod template."""
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def ours(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Yield pod template and container of each Dagway service."""
    for template in pod_templates(objects):
        if template["metadata"]["labels"].get("app.kubernetes.io/name") == "dagway":
            yield from ((template, container) for container in containers(template))


def name_of(thing: Object) -> str:
    """Return the kind and name of an object, for complaints."""
    return f"{thing['kind']}/{thing['metadata']['name']}"


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Return whether a selector selects what has these labels."""
    wanted: dict[str, str] = (
        selector.get("matchLabels", {}) if {"matchLabels", "matchExpressions"} & set(selector) else selector
    )
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(
        rule["key"] not in labels if rule["operator"] == "DoesNotExist" else labels.get(rule["key"]) in rule["values"]
        for rule in selector.get("matchExpressions", [])
    )


def ports_out(objects: list[Object], template: Object) -> set[int | str]:
    """Return the ports that network policies let a pod connect to; with ``all`` if a rule names none."""
    policies = [each["spec"] for each in of_kind(objects, "NetworkPolicy")]
    mine = [each for each in policies if selects(each["podSelector"], template["metadata"]["labels"])]
    egress = [rule for policy in mine for rule in policy.get("egress", [])]
    return {port["port"] for rule in egress for port in rule.get("ports", [{"port": "all"}])}
