"""The address to which alerts link: of the gateway that people reach, in each way to install."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart import render
from tests.deploy.manifests import manifest_set, of_kind
from tests.harness.needs import need

ROOT = Path(__file__).parents[2]


def test_the_overlay_takes_the_host_of_the_ingress() -> None:
    need("kubectl")
    objects = manifest_set("watched-rendered")
    (ingress,) = of_kind(objects, "Ingress")
    (prometheus,) = [each for each in of_kind(objects, "Deployment") if each["metadata"]["name"] == "prometheus"]
    (container,) = prometheus["spec"]["template"]["spec"]["containers"]

    docs = {"name": "DAGWAY_DOCS", "value": f"https://{ingress['spec']['rules'][0]['host']}/docs"}
    assert docs in container["env"]


_GATEWAY: dict[str, Any] = {"hostnames": ["flows.example.com"], "parentRefs": [{"name": "public"}]}
_OIDC = {"issuer": "https://login.example.com", "clientUrl": "https://flows.example.com/"}


@pytest.mark.parametrize(
    ("values", "docs"),
    [
        ({}, "http://127.0.0.1:8080/docs"),
        ({"ingress": {"enabled": True, "host": "dagway.example.com"}}, "https://dagway.example.com/docs"),
        ({"httpRoute": {"enabled": True, **_GATEWAY}}, "https://flows.example.com/docs"),
        (
            {"ingress": {"enabled": True}, "settings": {"DAGWAY_BASE_PATH": "/flows"}},
            "https://dagway.example.com/flows/docs",
        ),
        ({"login": {"mode": "oidc", "oidc": _OIDC}}, "https://flows.example.com/docs"),
        ({"prometheusRule": {"docsUrl": "https://docs.example.com/d/"}}, "https://docs.example.com/d"),
    ],
)
def test_the_chart_takes_the_address_at_which_people_reach_the_gateway(values: dict[str, Any], docs: str) -> None:
    rule = {"enabled": True, **values.get("prometheusRule", {})}
    (found,) = of_kind(render({**values, "prometheusRule": rule}), "PrometheusRule")

    alerts = [each for group in found["spec"]["groups"] for each in group["rules"] if "alert" in each]
    assert len(alerts) > 20
    for each in alerts:
        assert each["annotations"]["runbook_url"] == f"{docs}/runbooks/{each['alert']}/"


def test_compose_takes_the_port_of_the_gateway() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    assert services["api"]["ports"] == ["127.0.0.1:${GATEWAY_PORT:-8080}:8080"]
    docs = services["prometheus"]["environment"]["DAGWAY_DOCS"]
    assert docs == "${DOCS_URL:-http://127.0.0.1:${GATEWAY_PORT:-8080}/docs}"
