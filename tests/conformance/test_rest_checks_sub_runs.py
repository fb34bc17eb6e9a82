"""Sub-runs and the bounds of lists, asked of a whole system over HTTP."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import select, update

from shared.store import tables as t
from shared.store.engine import open_engine
from tests.conformance.conftest import Deployment
from tests.conformance.kept_files import files_with
from tests.conformance.rest_live import Live
from tests.harness.eventually import eventually

FAMILY = """\
steps:
  - name: one by one
    call: child
    parallel:
      items: [a, b]
      maxConcurrent: 1
    params: WHO=${ITEM}
---
name: child
params: WHO=nobody
steps:
  - name: say/it
    command: echo ${WHO}
  - name: deeper
    call: grandchild
---
name: grandchild
steps:
  - name: last
    command: echo deep
"""
FAILS = "steps:\n  - name: s\n    call: child\n---\nname: child\nsteps:\n  - name: bad\n    command: 'false'\n"
SLOW = "steps:\n  - name: s\n    call: child\n---\nname: child\nsteps:\n  - name: long\n    command: sleep 300\n"


def subs(live: Live, root: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = live.get(f"{root}/sub-dag-runs{query}")["subRuns"]
    return found


def test_sub_runs_are_found_below_their_root_only(live: Live) -> None:
    live.dag("family", FAMILY)
    live.start("family", dagRunId="root")
    run = live.until("family", "root", 4)
    root = "/dag-runs/family/root"

    children = subs(live, root)

    assert [(each["params"], each["status"], each["statusLabel"]) for each in children] == [
        ('WHO="a"', 4, "succeeded"),
        ('WHO="b"', 4, "succeeded"),
    ]
    assert [each["dagRunId"] for each in run["nodes"][0]["subRuns"]] == [each["dagRunId"] for each in children]
    assert all(each["startedAt"] and each["finishedAt"] for each in children)
    first = children[0]["dagRunId"]
    [grandchild] = subs(live, root, f"?parentSubDAGRunId={first}")
    for run_id, name, parent in ((first, "child", "root"), (grandchild["dagRunId"], "grandchild", first)):
        found = live.get(f"{root}/sub-dag-runs/{run_id}")["dagRunDetails"]
        assert (found["name"], found["dagRunId"], found["status"]) == (name, run_id, 4)
        assert (found["rootDAGRunName"], found["rootDAGRunId"]) == ("family", "root")
        assert found["parentDAGRunId"] == parent
    assert subs(live, root, f"?parentSubDAGRunId={grandchild['dagRunId']}") == []

    listed = {each["dagRunId"] for each in live.get("/dag-runs")["dagRuns"]}
    assert "root" in listed
    assert listed.isdisjoint({first, grandchild["dagRunId"]})
    assert live.get("/dag-runs/child")["dagRuns"] == []
    assert live.refused("GET", f"/dag-runs/child/{first}") == (404, "not_found")
    assert live.refused("GET", "/dag-runs/child/latest") == (404, "not_found")
    assert live.get(f"/dag-runs/family/latest/sub-dag-runs/{first}")["dagRunDetails"]["dagRunId"] == first


def test_a_dag_is_called_by_its_file_and_shown_by_its_name(live: Live) -> None:
    live.dag("kid-file", "name: kid-name\nparams: WHO=you\nsteps:\n  - {command: 'echo $WHO', output: GREETED}\n")
    calls = "\n".join(f"  - {{call: {name}, params: {{WHO: the rest}}}}" for name in ("./kid-file.yaml", "kid-name"))
    live.dag("caller", f"steps:\n{calls}\n")
    live.start("caller", dagRunId="root")
    live.until("caller", "root", 4)

    for step in ("dag_1", "dag_2"):
        told = json.loads(live.get(f"/dag-runs/caller/root/steps/{step}/log")["content"])
        assert (told["name"], told["params"]) == ("kid-name", "WHO=the rest")
        assert told["outputs"] == {"GREETED": "the rest"}


def test_a_secret_that_was_handed_over_is_seen_nowhere(live: Live, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cr3t")
    secrets = f"secrets: [{{name: TOKEN, provider: file, key: {tmp_path}/token}}]\n"
    live.dag("keeper", f"{secrets}{FAMILY}".replace("WHO=${ITEM}", 'WHO="$TOKEN ${ITEM}"'))
    live.start("keeper", dagRunId="root")
    run = live.until("keeper", "root", 4)

    first, second = subs(live, "/dag-runs/keeper/root")
    assert (first["params"], second["params"]) == ('WHO="******* a"', 'WHO="******* b"')
    path = f"/dag-runs/keeper/root/sub-dag-runs/{first['dagRunId']}"
    child = live.get(path)["dagRunDetails"]
    assert child["params"] == "WHO=******* a"
    assert child["nodes"][0]["step"]["commands"] == [{"command": "echo", "args": ["******* a"]}]
    assert live.get(f"{path}/steps/say%2Fit/log")["content"] == "******* a"
    assert "s3cr3t" not in json.dumps(
        [run, child, first, live.get(f"{path}/log"), live.get("/dag-runs/keeper/root/log")]
    )


HANDS_DOWN = """\
secrets:
  - {name: TOKEN, provider: file, key: FOLDER/token}
  - {name: SPREAD, provider: file, key: FOLDER/spread}
steps:
  - name: each
    call: child
    parallel: {items: [a, b]}
    params: {WHO: "${TOKEN} ${ITEM}", BESIDE: open}
  - name: spread
    call: spread
    params: "${SPREAD}"
---
name: child
params: [WHO=nobody, "LOUD=${WHO}!"]
steps:
  - name: deeper
    call: grandchild
    params: {IT: "${LOUD} ${BESIDE}"}
---
name: grandchild
params: IT=nothing
steps:
  - name: last
    command: echo "${IT}"; case "$IT" in "$(cat FOLDER/token) "?"! open") echo it is;; esac
    output: SEEN
---
name: spread
params: user=nobody
steps:
  - name: last
    command: test "user=${user}" = "$(cat FOLDER/spread)"
"""
CANARIES = ("s3cr3t-canary", "c4n4ry-of-two")


def test_a_secret_that_was_handed_over_is_stored_nowhere(live: Live, deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(CANARIES[0])
    (tmp_path / "spread").write_text(f"user={CANARIES[1]}")
    live.dag("hands-down", HANDS_DOWN.replace("FOLDER", str(tmp_path)))
    live.start("hands-down", dagRunId="root")
    live.until("hands-down", "root", 4)

    root = "/dag-runs/hands-down/root"
    children = subs(live, root)
    grandchildren = [
        each for one in children for each in subs(live, f"{root}", f"?parentSubDAGRunId={one['dagRunId']}")
    ]
    paths = [root, *(f"{root}/sub-dag-runs/{each['dagRunId']}" for each in (*children, *grandchildren))]
    told = [live.get(f"{path}{more}") for path in paths for more in ("", "/log")]
    assert len(grandchildren) == 2
    assert [each["params"] for each in grandchildren] == [f'IT="******* {item}! open"' for item in "ab"]
    for each, item in zip(grandchildren, "ab", strict=True):
        log = live.get(f"{root}/sub-dag-runs/{each['dagRunId']}/steps/last/log")
        assert log["content"] == f"******* {item}! open\nit is"
        told.append(log)
    engine = open_engine(deployment.database_url, read_only=True)
    with engine.connect() as connection:
        stored = [str(connection.execute(select(table)).all()) for table in t.metadata.sorted_tables]
    engine.dispose()
    for canary in CANARIES:
        assert canary not in str(told)
        assert canary not in str(stored)
        # On the embedded deployment, the database with its deleted rows and the journal of messages are there too.
        assert files_with(canary.encode(), deployment.folder) == []
    assert any("dagway-sealed:v1:k1:" in rows for rows in stored)
    assert "dagway-sealed" not in str(told)


def test_the_logs_of_a_sub_run_are_read(live: Live) -> None:
    live.dag("logs", FAMILY)
    live.start("logs", dagRunId="root")
    live.until("logs", "root", 4)
    second = subs(live, "/dag-runs/logs/root")[1]["dagRunId"]
    path = f"/dag-runs/logs/root/sub-dag-runs/{second}"

    assert live.get(f"{path}/steps/say%2Fit/log")["content"] == "b"
    assert live.get(f"{path}/steps/say/it/log?stream=stderr")["content"] == ""
    whole = live.get(f"{path}/log")
    assert whole["totalLines"] == whole["lineCount"] > 2
    assert live.get(f"{path}/log?tail=1")["content"] == whole["content"].splitlines()[-1]


def test_the_status_of_a_sub_run_s_step_is_set_by_hand(live: Live) -> None:
    live.dag("fails", FAILS)
    live.start("fails", dagRunId="root")
    live.until("fails", "root", 2)
    [child] = subs(live, "/dag-runs/fails/root")
    path = f"/dag-runs/fails/root/sub-dag-runs/{child['dagRunId']}"
    assert (child["status"], child["statusLabel"]) == (2, "failed")

    done = live.ask("PATCH", f"{path}/steps/bad/status", {"status": 4})

    assert (done.status_code, done.data, done.headers["Content-Length"]) == (200, b"", "0")
    found = live.get(path)["dagRunDetails"]
    assert (found["nodes"][0]["status"], found["status"]) == (4, 2)
    assert live.run("fails", "root")["status"] == 2


def test_steps_set_to_failed_by_hand_run_again_in_every_run_below(live: Live) -> None:
    live.dag("again", FAMILY)
    live.start("again", dagRunId="root")
    live.until("again", "root", 4)
    root = "/dag-runs/again/root"
    first, second = (f"{root}/sub-dag-runs/{each['dagRunId']}" for each in subs(live, root))
    [grandchild] = subs(live, root, f"?parentSubDAGRunId={first.rpartition('/')[2]}")
    chain = (f"{root}/sub-dag-runs/{grandchild['dagRunId']}", first, root)
    for path in chain:
        step = live.get(path)["dagRunDetails"]["nodes"][-1]["step"]["name"]
        assert live.ask("PATCH", f"{path}/steps/{quote(step, safe='')}/status", {"status": 2}).status_code == 200

    left_alone = live.get(f"{second}/log")["content"]

    live.post(f"{root}/retry", {"dagRunId": "root"})

    def last_steps() -> list[int]:
        return [live.get(path)["dagRunDetails"]["nodes"][-1]["status"] for path in chain]

    eventually(lambda: last_steps() == [4, 4, 4])
    live.until("again", "root", 4)
    assert live.get(f"{second}/log")["content"] == left_alone


def test_steps_of_a_running_sub_run_cannot_be_set(live: Live) -> None:
    live.dag("busy", SLOW)
    live.start("busy", dagRunId="root")
    eventually(lambda: [each["status"] for each in subs(live, "/dag-runs/busy/root")] == [1])
    [child] = subs(live, "/dag-runs/busy/root")
    path = f"/dag-runs/busy/root/sub-dag-runs/{child['dagRunId']}"

    assert child["finishedAt"] == ""
    assert live.refused("PATCH", f"{path}/steps/long/status", {"status": 4}) == (400, "bad_request")

    live.post("/dag-runs/busy/root/stop")
    live.until("busy", "root", 3)
    assert subs(live, "/dag-runs/busy/root")[0]["status"] == 3


def test_date_filters_are_half_open_on_the_creation_time(live: Live, deployment: Deployment) -> None:
    live.dag("dated")
    live.start("dated", dagRunId="old")
    live.until("dated", "old", 4)
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    engine = open_engine(deployment.database_url)
    with engine.begin() as connection:
        connection.execute(update(t.dag_runs).where(t.dag_runs.c.dag_run_id == "old").values(created_at=at))
    engine.dispose()
    live.start("dated", dagRunId="new")
    live.until("dated", "new", 4)
    day = int(at.timestamp())

    def ids(query: str) -> list[str]:
        return [each["dagRunId"] for each in live.get(f"/dag-runs/dated{query}")["dagRuns"]]

    assert ids("") == ["new", "old"]
    assert ids(f"?fromDate={day}") == ["new", "old"]
    assert ids(f"?fromDate={day + 1}") == ["new"]
    assert ids(f"?toDate={day}") == []
    assert ids(f"?toDate={day + 1}") == ["old"]
    assert ids(f"?fromDate={day}&toDate={day + 1}") == ["old"]
    assert ids(f"?fromDate={day + 1}&toDate={day}") == []
    # A retry renews the start, and not the creation.
    before = live.run("dated", "old")["startedAt"]
    live.post("/dag-runs/dated/old/retry", {"dagRunId": "old"})
    eventually(lambda: live.run("dated", "old")["status"] == 4)
    assert live.run("dated", "old")["startedAt"] >= before
    assert ids("") == ["new", "old"]
    assert ids("?status=4") == ["new", "old"]
    assert ids("?status=2") == []
