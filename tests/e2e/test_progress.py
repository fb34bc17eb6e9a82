"""The API shows the annotations of a step while it runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.client import Client
from tests.harness.eventually import eventually


def node(client: Client, dag: str) -> dict[str, Any]:
    (found,) = [each for each in client.run(dag)["nodes"] if each["step"]["name"] == "work"]
    return dict(found)


def test_progress_and_remarks_of_a_step(client: Client, dag: Callable[[str], str], tmp_path: Path) -> None:
    name = dag(
        "steps:\n  - name: work\n    script: |\n"
        "      echo ::progress 40/100 loading\n      echo ::notice half of it is old\n      echo ::output ROWS=7\n"
        f"      until test -e {tmp_path}/go; do sleep 0.05; done\n"
        "      echo ::progress 100/100\n      echo ::warning 3 rows were odd\n"
        "  - {name: use, command: 'echo rows=${ROWS}'}\n"
    )
    client.start(name)
    eventually(lambda: {"progress", "remarks"} <= node(client, name).keys())

    seen = node(client, name)
    assert seen["progress"] == {"current": 40.0, "total": 100.0, "percent": 40.0, "text": "loading"}
    assert seen["remarks"] == [{"level": "notice", "text": "half of it is old"}]
    assert seen["statusLabel"] == "running"

    (tmp_path / "go").touch()
    run = client.until("succeeded", name)

    assert node(client, name)["progress"] == {"current": 100.0, "total": 100.0, "percent": 100.0, "text": ""}
    assert [one["level"] for one in node(client, name)["remarks"]] == ["notice", "warning"]
    assert client.text(name, "r1", "use").strip() == "rows=7"
    assert "::progress 40/100 loading" in client.text(name, "r1", "work")
    assert not {"progress", "remarks"} & run["nodes"][1].keys()
