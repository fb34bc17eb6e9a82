"""DAGs in a folder, whose steps use other files of the folder."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli import cli
from shared.ids import new_run_id
from tests.harness.client import Client
from tests.harness.cluster import Cluster, Deployment, Embedded, running
from tests.harness.eventually import eventually

BESIDE = """\
params:
  schema: schema.json
secrets:
  - {name: KEY, provider: file, key: key.txt}
steps:
  - command: ./tool.sh
    output: TOOL
  - command: pwd
    output: PLACE
  - command: 'echo "$FROM_DOTENV $NUMBER ${#KEY}"'
    output: VALUES
  - dir: sub
    command: pwd
    output: STEP_PLACE
  - script: cat note.txt
    output: NOTE
"""
ELSEWHERE = """\
workingDir: ./sub
steps:
  - command: pwd
    output: PLACE
  - dir: ..
    command: pwd
    output: STEP_PLACE
"""


CALLING = """\
workingDir: ./sub
steps:
  - call: called
    output: FILE
  - call: local
    dir: ..
    output: DOCUMENT
---
name: local
steps:
  - command: pwd
    output: PLACE
"""
CALLED = """\
steps:
  - command: pwd
    output: PLACE
"""
KID = """\
schedule: "* * * * *"
params: [FROM=nobody]
steps:
  - command: echo $FROM
    output: SAID
"""
CALLING_BELOW = """\
type: graph
steps:
  - {name: plain, call: team/kid, params: FROM=plain, output: PLAIN}
  - {name: extension, call: team/kid.yaml, params: FROM=extension, output: EXTENSION}
  - {name: dot, call: ./team/kid, params: FROM=dot, output: DOT}
  - {name: absolute, call: FOLDER/team/kid.yaml, params: FROM=absolute, output: ABSOLUTE}
  - {name: lead, call: team/lead, output: LEAD}
"""
LEAD = """\
type: graph
steps:
  - {name: beside, call: kid, params: FROM=beside, output: BESIDE}
  - {name: inner, call: inner/kid, params: FROM=inner, output: INNER}
  - {name: above, call: ../called, output: ABOVE}
"""
UNKNOWN = """\
steps:
  - call: team/nobody
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("dags")
    (made / "sub").mkdir()
    (made / "tool.sh").write_text("#!/bin/sh\necho tool of $(basename $0)\n")
    (made / "tool.sh").chmod(0o755)
    (made / ".env").write_text("FROM_DOTENV=dotenv\n")
    (made / "note.txt").write_text("a note\n")
    (made / "key.txt").write_text("12345\n")
    (made / "schema.json").write_text('{"type": "object", "properties": {"NUMBER": {"type": "integer", "default": 7}}}')
    (made / "beside.yaml").write_text(BESIDE)
    (made / "elsewhere.yaml").write_text(ELSEWHERE)
    (made / "calling.yaml").write_text(CALLING)
    (made / "called.yaml").write_text(CALLED)
    for place in (made / "team", made / "team/inner", made / ".git"):
        place.mkdir()
        (place / "kid.yaml").write_text(KID)
    (made / "team/lead.yml").write_text(LEAD)
    (made / "below.yaml").write_text(CALLING_BELOW.replace("FOLDER", str(made)))
    (made / "unknown.yaml").write_text(UNKNOWN)
    return made


@pytest.fixture(scope="module", params=["embedded", "distributed"])
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, folder: Path
) -> Iterator[Deployment]:
    place = tmp_path_factory.mktemp(request.param)
    env = {"DAGWAY_DAGS_DIR": str(folder)}
    made: Deployment
    if request.param == "embedded":
        made = Embedded(place, env=env)
    else:
        rabbit, postgres = running(*request.getfixturevalue("servers"))
        made = Cluster(place, rabbit, postgres, schedulers=0, workers=0)
        made.schedulers.append(made.scheduler("scheduler-1", **env))
        made.workers.append(made.worker("w1", **env))
    with made:
        yield made


def outputs(client: Client, name: str) -> dict[str, str]:
    eventually(lambda: client.ask("GET", f"/dags/{name}/spec").status == 200)
    client.start(name)
    client.until("succeeded", name)
    return client.outputs(name)


def test_steps_run_beside_the_file_of_their_dag(system: Deployment, folder: Path) -> None:
    assert outputs(system.client, "beside") == {
        "tool": "tool of tool.sh",
        "place": str(folder),
        "values": "dotenv 7 5",
        "stepPlace": str(folder / "sub"),
        "note": "a note",
    }


def test_a_relative_working_directory_starts_at_the_file(system: Deployment, folder: Path) -> None:
    assert outputs(system.client, "elsewhere") == {"place": str(folder / "sub"), "stepPlace": str(folder)}


def test_a_called_dag_works_where_its_caller_does(system: Deployment, folder: Path) -> None:
    found = {name: json.loads(text)["outputs"] for name, text in outputs(system.client, "calling").items()}

    assert found == {"file": {"PLACE": str(folder / "sub")}, "document": {"PLACE": str(folder)}}


def test_a_run_of_no_file_has_a_directory_of_its_own(system: Deployment, folder: Path) -> None:
    answer = system.client.ask(
        "POST",
        "/dag-runs",
        {"name": "inline", "spec": "steps:\n  - command: pwd\n    output: PLACE\n", "dagRunId": "r1"},
    )
    assert answer.status == 200, answer.json
    system.client.until("succeeded", "inline")

    place = system.client.outputs("inline")["place"]
    assert place.endswith("/runs/inline/r1")
    assert not place.startswith(str(folder))


def test_a_file_in_a_folder_below_can_be_called_and_is_nothing_else(system: Deployment) -> None:
    client = system.client
    found = {name: json.loads(text) for name, text in outputs(client, "below").items()}

    lead = found.pop("lead")
    assert {name: (one["name"], one["outputs"]) for name, one in found.items()} == {
        name: ("kid", {"SAID": name}) for name in ("plain", "extension", "dot", "absolute")
    }
    said = {name: json.loads(text) for name, text in lead["outputs"].items()}
    assert said["BESIDE"]["outputs"] == {"SAID": "beside"}
    assert said["INNER"]["outputs"] == {"SAID": "inner"}
    assert said["ABOVE"]["name"] == "called"

    listed = client.ask("GET", "/dags?perPage=100").json["dags"]
    assert not {"kid", "lead", "team/kid"} & {dag["fileName"] for dag in listed}
    assert client.ask("GET", "/dags/team%2Fkid").status == 400
    assert client.ask("GET", "/dags/kid").status == 404


def test_a_file_that_is_not_there_fails_its_caller(system: Deployment, folder: Path) -> None:
    client = system.client
    eventually(lambda: client.ask("GET", "/dags/unknown/spec").status == 200)

    client.start("unknown")
    client.until("failed", "unknown")
    [node] = client.run("unknown")["nodes"]
    assert "there is no DAG 'team/nobody'" in node["error"]

    (folder / "team/nobody.yaml").write_text("stepps: []\n")

    def found_faulty() -> None:
        client.start("unknown", run_id := new_run_id())
        client.until("failed", "unknown", run_id)
        [node] = client.run("unknown", run_id)["nodes"]
        assert "DAG team/nobody is invalid: line 1, column 1: has invalid keys: stepps" in node["error"]

    eventually(found_faulty)
    (folder / "team/nobody.yaml").unlink()

    def gone() -> None:
        client.start("unknown", run_id := new_run_id())
        client.until("failed", "unknown", run_id)
        [node] = client.run("unknown", run_id)["nodes"]
        assert "there is no DAG" in node["error"]

    eventually(gone)


def test_doctor_names_the_files_with_errors(system: Deployment, folder: Path, tmp_path: Path) -> None:
    runner = CliRunner(env={"DAGWAY_URL": system.client.base, "XDG_CONFIG_HOME": str(tmp_path)})
    faulty, twin = folder / "mistaken.yaml", folder / "beside.yml"
    faulty.write_text("steps:\n  - comand: echo hi\n")
    twin.write_text(BESIDE)

    def said() -> list[str]:
        lines = runner.invoke(cli, ["doctor"]).stdout.splitlines()
        assert "beside.yml" in lines[-1], lines
        assert "mistaken" in lines[-2], lines
        return lines

    try:
        dags, files = eventually(said)[-2:]
        assert re.fullmatch(
            r"warning  DAGs +\d+ of \d+ have errors and do not run: .* -> dagway ls shows the errors", dags
        )
        assert re.fullmatch(r"warning  DAG folder +beside\.yml: not loaded, because beside\.yaml exists.*", files)
    finally:
        faulty.unlink()
        twin.unlink()
