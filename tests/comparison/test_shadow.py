"""``dagway shadow`` beside a real Dagu: what it reports, and that a workflow is moved and runs on one side only.

``COMPARE_DAGU`` names the program of Dagu; without it the test is skipped, and says so.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.cli import cli
from tests.comparison.sides import Side, dagu
from tests.harness.cluster import Embedded

SAME = "schedule: '0 3 * * *'\nsteps:\n  - {name: a, command: echo a}\n  - {name: b, command: pwd, depends: [a]}\n"
SUSPENDED = "schedule: '0 4 * * *'\nsteps:\n  - name: a\n    command: echo a\n"
CYCLE = "type: graph\nsteps:\n  - {name: a, command: x, depends: [b]}\n  - {name: b, command: x, depends: [a]}\n"
"""An error here, and in Dagu when it runs: see differences.py."""


def suspended(side: Side) -> dict[str, bool]:
    return {Path(each["fileName"]).stem: each["suspended"] for each in side.ask("GET", "/dags")[1]["dags"]}


def shadow(theirs: Side, ours: Side, *options: str) -> tuple[Result, dict[str, Any]]:
    result = CliRunner().invoke(cli, ["shadow", "--dagu", theirs.url, "--url", ours.url, "--json", *options])
    return result, {each["name"]: each for each in json.loads(result.stdout)["dags"]}


def test_beside_a_real_dagu(tmp_path: Path) -> None:
    program = os.environ.get("COMPARE_DAGU", "")
    if not program:
        pytest.skip("NOT COMPARED WITH DAGU: set COMPARE_DAGU to the path of a Dagu 1.30.2")
    folder = tmp_path / "dagu/dags"
    folder.mkdir(parents=True)
    for name, text in (("same", SAME), ("off", SUSPENDED), ("cycle", CYCLE)):
        (folder / f"{name}.yaml").write_text(text)
    with dagu(Path(program), tmp_path) as theirs, Embedded(tmp_path / "dagway").start() as here:
        theirs.ask("POST", "/dags/off/suspend", {"suspend": True})
        ours = Side(here.client.base)

        result, found = shadow(theirs, ours)

        assert {name: each["result"] for name, each in found.items()} == {
            "same": "same",
            "off": "same",
            "cycle": "refused",
        }
        assert result.exit_code == 1
        assert ours.ask("GET", "/dags")[1]["dags"] == []

        result, _ = shadow(theirs, ours, "--cut-over", "same", "off")

        assert result.exit_code == 0, result.output
        assert suspended(theirs) == {"same": True, "off": True, "cycle": False}
        assert suspended(ours) == {"same": False, "off": True}
