"""What tells Kubernetes which workers are idle is the only pod with a token of the cluster, and has two rights."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from shared.settings.config import load_config
from tests.deploy.chart import render
from tests.deploy.likeness import differences
from tests.deploy.manifests import ROOT, Object, manifest_set, name_of, of_kind, read, selects, set_names
from tests.deploy.rules import complaints
from tests.deploy.security_rules import RIGHTS

NAME = "dagway-deletion-costs"
COMPONENT = ROOT / "deploy/k8s/components/keda"
SETS_WITH_IT = {"everything-chart", "keda-component", "watched-rendered"}
KEDA = {"kind": "keda", "keda": {"serverAddress": "http://prometheus.monitoring.svc:9090"}}
SCALED = {"workerPools": [{"name": "default", "autoscaling": KEDA}]}


def _ours(objects: list[Object]) -> list[Object]:
    return [each for each in objects if each["metadata"]["name"].startswith(NAME)]


def _one(objects: list[Object], kind: str, name: str = NAME) -> Any:
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def _component() -> list[Object]:
    return [each for each in read(COMPONENT) if each["kind"] != "ScaledObject"]


def test_its_role_lists_pods_and_patches_their_status_and_nothing_else() -> None:
    role = _one(_component(), "Role")

    assert role["rules"] == RIGHTS == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
    ]  # fmt: skip


@pytest.mark.parametrize("name", set_names())
def test_only_this_pod_has_a_token(name: str) -> None:
    objects = manifest_set(name)
    with_token = [
        name_of(each)
        for each in of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job")
        if each["spec"]["template"]["spec"].get("automountServiceAccountToken") is not False
    ]

    scaled = name in SETS_WITH_IT
    assert with_token == ([f"Deployment/{NAME}"] if scaled else [])
    assert bool(_ours(objects)) is scaled


def test_the_component_keeps_to_the_rules_together_with_the_base() -> None:
    assert complaints([*manifest_set("base-sources"), *_component()]) == []


DEFECTS: dict[str, tuple[str, Callable[[list[Object]], Any]]] = {
    "another verb": ("gives rights", lambda them: _one(them, "Role")["rules"][0]["verbs"].append("delete")),
    "the pods themselves": ("gives rights", lambda them: _one(them, "Role")["rules"][1].update(resources=["pods"])),
    "in the whole cluster": ("gives rights", lambda them: _one(them, "Role").update(kind="ClusterRole")),
    "rights for workers": (
        "gives rights",
        lambda them: _one(them, "RoleBinding")["subjects"].append({"kind": "ServiceAccount", "name": "dagway-worker"}),
    ),
    "another role": ("gives rights", lambda them: _one(them, "RoleBinding")["roleRef"].update(name="admin")),
    "no token": (
        "without a token",
        lambda them: _pod(them).update(automountServiceAccountToken=False),
    ),
    "a secret": (
        "deletion-costs reads a secret",
        lambda them: _pod(them)["containers"][0]["env"].append(
            {"name": "DAGWAY_AMQP_URL", "valueFrom": {"secretKeyRef": {"name": NAME, "key": "amqp-url"}}}
        ),
    ),
    "the broker": (
        "reaches more than that",
        lambda them: _one(them, "NetworkPolicy")["spec"]["egress"].append({"ports": [{"port": 5672}]}),
    ),
}


def _pod(objects: list[Object]) -> Any:
    return _one(objects, "Deployment")["spec"]["template"]["spec"]


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_rules_catch_a_planted_defect(defect: str) -> None:
    said, plant = DEFECTS[defect]
    objects = copy.deepcopy([*manifest_set("base-sources"), *_component()])

    plant(objects)

    assert [each for each in complaints(objects) if said in each], complaints(objects)


def test_the_chart_and_the_component_make_the_same() -> None:
    chart = render(SCALED)

    assert differences(_ours(chart) + _maps(chart), _component() + _maps(manifest_set("base-sources"))) == []


def _maps(objects: list[Object]) -> list[Object]:
    return list(of_kind(objects, "ConfigMap"))


@pytest.mark.parametrize(
    ("values", "made"),
    [
        ({}, False),
        ({"workerPools": [{"name": "a"}, {"name": "b", "autoscaling": {"kind": "hpa"}}]}, True),
        # A StatefulSet removes the pod with the highest number, whatever it costs.
        ({"workerPools": [{"name": "a", "autoscaling": KEDA, "persistence": {"enabled": True}}]}, False),
        ({**SCALED, "deletionCosts": {"enabled": False}}, False),
        ({**SCALED, "networkPolicy": {"enabled": False}}, True),
    ],
)
def test_the_chart_makes_it_where_an_autoscaler_removes_pods_by_their_cost(values: dict[str, Any], made: bool) -> None:
    objects = render(values)

    assert len(_ours(objects)) == made * (5 if values.get("networkPolicy") else 7)
    policies = [name_of(each) for each in of_kind(_ours(objects), "NetworkPolicy")]
    assert len(policies) == (0 if values.get("networkPolicy") or not made else 2)


def test_it_asks_for_the_pods_of_its_release_and_may_connect_to_them() -> None:
    for objects in (render(SCALED), [*manifest_set("base-sources"), *_component()]):
        costs, worker = (_one(objects, "Deployment", name)["spec"]["template"] for name in (NAME, "dagway-worker"))
        container = costs["spec"]["containers"][0]
        (told,) = [each["value"] for each in container["env"] if each["name"] == "DAGWAY_WORKER_PODS"]
        wanted = dict(part.split("=") for part in told.split(","))
        labels = {key: value for key, value in worker["metadata"]["labels"].items() if key in wanted}
        assert labels == wanted
        port = worker["spec"]["containers"][0]["ports"][0]

        (out,) = [rule for rule in _one(objects, "NetworkPolicy")["spec"]["egress"] if "podSelector" in str(rule)]
        assert selects(out["to"][0]["podSelector"], worker["metadata"]["labels"])
        assert [each["port"] for each in out["ports"]] == [port["containerPort"]]
        admits = _one(objects, "NetworkPolicy", f"{NAME}-reads")["spec"]
        assert selects(admits["podSelector"], worker["metadata"]["labels"])
        ((rule,),) = [admits["ingress"]]
        assert selects(rule["from"][0]["podSelector"], costs["metadata"]["labels"])
        assert [each["port"] for each in rule["ports"]] == [port["name"]] == ["metrics"]


def test_the_addresses_of_the_cluster_can_be_given() -> None:
    api = {"ports": [6443], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}
    policy = _one(render({**SCALED, "networkPolicy": {"clusterApi": api}}), "NetworkPolicy")

    assert {"to": api["to"], "ports": [{"protocol": "TCP", "port": 6443}]} in policy["spec"]["egress"]


def test_the_selector_in_the_manifest_is_the_default() -> None:
    (text,) = [
        each["value"] for each in _pod(_component())["containers"][0]["env"] if each["name"] == "DAGWAY_WORKER_PODS"
    ]

    assert load_config({}, {}).worker_pods == text


# The component alone has no namespace yet: an overlay gives it one.
@pytest.mark.parametrize("name", [name for name in set_names() if name in SETS_WITH_IT - {"keda-component"}])
def test_its_rights_are_given_in_a_namespace(name: str) -> None:
    (subject,) = _one(manifest_set(name), "RoleBinding")["subjects"]

    assert subject == {"kind": "ServiceAccount", "name": NAME, "namespace": "dagway"}
