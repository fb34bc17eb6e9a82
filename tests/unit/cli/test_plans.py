"""``dagway plan`` shows what the user may see of the DAGs that a run calls."""

from typing import Any

import pytest
from click.testing import CliRunner

from services.cli import cli
from services.cli.errors import GatewayError
from services.cli.remote.gateway import Gateway

CALLS = "steps:\n  - name: hidden\n    call: of-others\n  - name: seen\n    call: mine\n"


def test_a_called_dag_that_the_key_may_not_see_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = {"/dags/calls/spec": CALLS, "/dags/mine/spec": "steps:\n  - name: leaf\n    command: echo hi\n"}

    def get(_gateway: Gateway, path: str) -> Any:
        if path == "/dags/of-others/spec":
            raise GatewayError("forbidden", status=403)
        return {"spec": specs[path]} if path in specs else {"steps": []}

    monkeypatch.setattr(Gateway, "get", get)

    shown = CliRunner().invoke(cli, ["plan", "calls"])

    assert shown.exit_code == 0, shown.output
    assert "calls of-others" in shown.stdout
    assert "\nmine\n" in shown.stdout
    assert "\nof-others\n" not in shown.stdout
