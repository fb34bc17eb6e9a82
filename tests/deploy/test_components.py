"""What components change in the kustomize base. ``test_manifests`` applies the rules for all manifests to them too."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart import render
from tests.deploy.likeness import differences
from tests.deploy.manifests import Object, containers, custom_kinds, manifest_set, of_kind, pod_templates, selects
from tests.harness.needs import need


def _named(objects: list[Object], kind: str, name: str) -> Any:
    return next(each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)["spec"]


def _with_component(name: str) -> list[Object]:
    need("kubectl")
    return manifest_set(f"{name}-component")


def test_workers_can_do_without_root() -> None:
    objects = _with_component("restricted-workers")

    worker = _named(objects, "Deployment", "dagway-worker")["template"]["spec"]
    assert worker["securityContext"]["runAsNonRoot"] is True
    assert not worker["containers"][0]["securityContext"]["capabilities"].get("add")
    assert "DAGWAY_STEP_USER" not in {each["name"] for each in worker["containers"][0]["env"]}


def test_every_pod_can_have_the_authority_of_the_servers_as_in_the_chart() -> None:
    objects = _with_component("certificate-authorities")
    chart = render({"certificateAuthorities": {"secret": "dagway-ca"}})

    def authorities(objects: list[Object]) -> list[tuple[object, object]]:
        return [
            (
                [each for each in template["spec"]["volumes"] if each["name"] == "ca"],
                [each for each in container["volumeMounts"] if each["name"] == "ca"],
            )
            for template in pod_templates(objects)
            for container in containers(template)
        ]

    mount = {"name": "ca", "mountPath": "/etc/dagway/ca", "readOnly": True}
    volume = {"name": "ca", "secret": {"secretName": "dagway-ca"}}
    assert authorities(objects) == [([volume], [mount])] * 4 == authorities(chart)


def test_a_cluster_scrapes_the_deletion_costs_besides_what_compose_has(tmp_path: Path) -> None:
    need("prometheus")
    (config,) = [
        each["data"]
        for each in of_kind(_with_component("prometheus"), "ConfigMap")
        if each["metadata"]["name"].startswith("prometheus-config-")
    ]
    for name, text in config.items():
        (tmp_path / name).write_text(text)

    done = subprocess.run(
        ["promtool", "check", "config", tmp_path / "leaf.yml"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    (pattern,) = yaml.safe_load(config["leaf.yml"])["scrape_config_files"]
    (file,) = tmp_path.glob(pattern)
    (job,) = yaml.safe_load(file.read_text())["scrape_configs"]
    labels = {each["target_label"]: each["replacement"] for each in job["relabel_configs"]}
    assert labels == {"job": "dagway", "service": "deletion-costs"}
    services = {each["metadata"]["name"] for each in of_kind(manifest_set("keda-component"), "Service")}
    assert set(job["dns_sd_configs"][0]["names"]) <= services


def test_dags_can_come_from_git_as_in_the_chart() -> None:
    objects = _with_component("git-sync")
    repository = {"repo": "https://git.example.com/team/workflows.git", "secret": "dagway-git"}
    chart = render({"dags": {"gitSync": {"enabled": True, **repository}}, "ingress": {"enabled": True}})

    assert differences(chart, objects) == []
    for made in (objects, chart):
        env = {
            each["metadata"]["name"]: {one["name"]: one.get("value") for one in container["env"]}
            for each in of_kind(made, "Deployment", "StatefulSet")
            for container in each["spec"]["template"]["spec"]["containers"]
        }
        following = {name: one["DAGWAY_DAGS_DIR"] for name, one in env.items() if "DAGWAY_DAGS_DIR" in one}
        assert following == {"dagway-scheduler-git": "/git/current"}
        refusing = {name: one["DAGWAY_DAGS_WRITE"] for name, one in env.items() if "DAGWAY_DAGS_WRITE" in one}
        assert refusing == {"dagway-scheduler": "refuse", "dagway-scheduler-git": "refuse"}
        # Its pod is not ready while the repository is away, and drains of the others go on.
        budget = _named(made, "PodDisruptionBudget", "dagway-scheduler")["selector"]
        assert not selects(
            budget, _named(made, "StatefulSet", "dagway-scheduler-git")["template"]["metadata"]["labels"]
        )
        assert selects(budget, _named(made, "Deployment", "dagway-scheduler")["template"]["metadata"]["labels"])


@pytest.mark.parametrize("name", ["keda-component", "watched-rendered", "everything-chart"])
def test_only_keda_says_how_many_workers_there_are(name: str) -> None:
    """With a number of its own in the Deployment, each ``kubectl apply`` would end the workers above it."""
    if not name.endswith("-chart"):
        need("kubectl")
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in of_kind(custom_kinds(name), "ScaledObject")]

    assert scaled == ["dagway-worker"]
    assert "replicas" not in _named(manifest_set(name), "Deployment", "dagway-worker")
