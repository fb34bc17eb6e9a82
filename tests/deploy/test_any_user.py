"""A cluster may choose the user of every pod, as OpenShift does: the chart then names none."""

from typing import Any

import pytest

from tests.deploy.chart import Refused, render
from tests.deploy.manifests import Object, containers, of_kind, pod_templates

ANY_USER: dict[str, Any] = {
    "fixedUser": False,
    "workerDefaults": {"separateUsers": False},
    "workerPools": [
        {"name": "default", "autoscaling": {"kind": "hpa"}},
        {"name": "kept", "persistence": {"enabled": True}},
    ],
    "dags": {"gitSync": {"enabled": True, "repo": "https://git.example.com/flows"}},
    "networkPolicy": {"dnsPorts": [53, 5353]},
}


def _users(template: Object) -> set[str]:
    contexts = [each.get("securityContext", {}) for each in (template["spec"], *containers(template))]
    return {field for each in contexts for field in each if field in ("runAsUser", "runAsGroup", "fsGroup")}


def test_no_pod_asks_for_a_user_and_none_is_root() -> None:
    templates = list(pod_templates(render(ANY_USER)))

    assert len(templates) == 7
    assert [_users(each) for each in templates] == [set()] * 7
    assert all(each["spec"]["securityContext"]["runAsNonRoot"] for each in templates)


def test_names_may_be_answered_at_another_port() -> None:
    policies = [each["spec"] for each in of_kind(render(ANY_USER), "NetworkPolicy") if "egress" in each["spec"]]

    assert len(policies) == 7
    for policy in policies:
        assert {(each["protocol"], each["port"]) for each in policy["egress"][0]["ports"]} == {
            (protocol, port) for protocol in ("UDP", "TCP") for port in (53, 5353)
        }


def test_a_user_for_each_run_needs_root() -> None:
    with pytest.raises(Refused, match='"default" needs separateUsers: false'):
        render({"fixedUser": False})
