"""A base configuration gives the same runs in Dagway and in a real Dagu.

``COMPARE_DAGU`` names the program of Dagu; without it the test is skipped, and says so.
"""

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.comparison.sides import Side, dagu
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually

BASE = """\
env:
  - BOTH: base
  - CHAIN: ${BOTH}-x
params: "P=base Q=base"
dotenv: FOLDER/base.env
logOutput: merged
preconditions:
  - condition: ${BOTH}
    expected: re:base|own
secrets:
  - {name: HIDDEN, provider: file, key: FOLDER/hidden}
ssh: {host: 127.0.0.1, port: 1, user: nobody, key: FOLDER/key, strictHostKey: false}
"""
HANDLERS = "handlerOn:\n  success: {command: echo fine}\n  exit: {command: echo $BOTH $P}\n"
SPECS = {
    "plain": "steps:\n  - {name: one, command: echo $BOTH $CHAIN $P $Q $DOT}\n  - {name: two, command: echo two}\n",
    "own": (
        "env: [BOTH: own, MORE: '${BOTH}-y']\nparams: [P: own, R: r]\nlogOutput: separate\npreconditions: ['true']\n"
        "handlerOn: {exit: {command: echo mine}}\nsteps:\n  - {name: one, command: echo $BOTH $MORE $P $Q $R}\n"
    ),
    "excluded": "env: [BOTH: other]\nsteps:\n  - {name: one, command: echo}\n",
    "called": (
        "steps:\n  - {name: call, call: child, params: Q=given, output: OUT}\n---\n"
        "name: child\nsteps:\n  - {name: one, command: echo $BOTH $P $Q $DOT, output: SAID}\n"
    ),
    "remote": (
        "type: graph\nsteps:\n  - {name: here, command: echo here}\n"
        "  - {name: there, type: ssh, command: echo there, continueOn: {failure: true}}\n"
    ),
}


def same(name: str, theirs: Side, ours: Side) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a workflow on both sides; return what was seen, without what is documented to differ."""
    mine, real = ours.result(name, SPECS[name]), theirs.result(name, SPECS[name])
    if real != mine:
        with suppress(AssertionError):  # Dagu stores outputs after the last status of a run.
            real = eventually(lambda: _equal(theirs.seen(name), mine), timeout_s=20)
    if name in ("called", "remote"):  # the params in the summary, and the words of an error
        for side in (mine, real):
            del side["logs"], side["outputs"]
    return real, mine


def _equal(real: dict[str, Any], mine: dict[str, Any]) -> dict[str, Any]:
    assert real == mine
    return real


@pytest.mark.timeout(420)
@pytest.mark.parametrize("handlers", ["", HANDLERS], ids=["alone", "with-handlers"])
def test_workflows_under_a_base_configuration_give_the_same_result(tmp_path: Path, handlers: str) -> None:
    program = os.environ.get("COMPARE_DAGU", "")
    if not program:
        pytest.skip("NOT COMPARED WITH DAGU: set COMPARE_DAGU to the path of a Dagu 1.30.2")
    theirs_at = tmp_path / "theirs"
    (theirs_at / "dagu").mkdir(parents=True)
    (tmp_path / "base.env").write_text("DOT=dot\n")
    (tmp_path / "hidden").write_text("hidden")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    text = BASE.replace("FOLDER", str(tmp_path))
    if handlers:  # handlers of a base with ssh run on that host
        text = text.partition("ssh:")[0] + handlers
    for base in (theirs_at / "dagu" / "base.yaml", tmp_path / "base.yaml"):
        base.write_text(text)
    settings = {"DAGWAY_BASE_CONFIG": str(tmp_path / "base.yaml")}
    with Embedded(tmp_path / "ours", env=settings) as system, dagu(Path(program), theirs_at) as theirs:
        ours = Side(system.client.base)
        found = {name: same(name, theirs, ours) for name in SPECS if not handlers or name != "remote"}
    assert {name: both for name, both in found.items() if both[0] != both[1]} == {}
    assert found["plain"][1]["status"] == "succeeded"
