"""The metrics of ``dagway up``: one page for its processes."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.harness.client import ask_probe
from tests.harness.cluster import Embedded
from tests.harness.eventually import free_port

DAG = "steps:\n  - name: one\n    command: echo 1\n"


def test_the_page_has_the_metrics_of_gateway_scheduler_and_worker(tmp_path: Path) -> None:
    port = free_port()
    with Embedded(tmp_path / "up", env={"DAGWAY_METRICS_PORT": str(port)}) as system:
        system.client.create("some", DAG)
        system.client.start("some")
        system.client.until("succeeded", "some")

        assert ask_probe(f"http://127.0.0.1:{port}/readyz")[0] == 200
        status, text = ask_probe(f"http://127.0.0.1:{port}/metrics")

    assert status == 200
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "a family appears twice"
    values = {(each.name, each.labels.get("operation")): each.value for family in families for each in family.samples}
    assert values["dagway_gateway_requests_total", "POST /dags/{fileName}/start"] == 1
    assert {"dagway_commands_recorded", "dagway_worker_slots", "dagu_info", "process_resident_memory_bytes"} <= set(
        names
    )
