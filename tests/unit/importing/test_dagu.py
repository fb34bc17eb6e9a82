"""Importing a Dagu home folder into a database on SQLite: what is loaded, what differs, what is refused."""

import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from services.importing import history
from services.importing.dagu import import_dagu
from services.importing.families import Family, read_family
from services.importing.report import Report
from services.importing.target import Target
from services.verify import check_database
from shared.clock import utc_now
from shared.errors import ConfigInvalid
from shared.settings.config import Config, load_config
from shared.store import tables as t
from shared.store.engine import open_engine
from shared.store.writes.transaction import Transaction
from tests.harness.dagu_home import HomeOfDagu
from tests.harness.databases import migrated_sqlite

TWO = "steps:\n  - name: one\n    command: echo 1\n  - name: two\n    command: echo 2\n"
CALLS = "steps:\n  - name: call\n    call: kid\n---\nname: kid\nsteps:\n  - name: inner\n    command: echo in\n"
KID = "name: kid\nsteps:\n  - name: inner\n    command: echo in\n"
ONE = {"name": "one", "status": 4, "log": "1\n"}
SECOND = {"name": "two", "status": 4, "log": "2\n"}
INNER = {"name": "inner", "status": 4, "log": "in\n"}
GRAPH = "type: graph\nsteps:\n  - {name: late, command: ls, depends: [early]}\n  - {name: early, command: ls}\n"
CUT_OFF = {"finishedAt": ""}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config({"data_dir": str(tmp_path / "data")}, {}, terminal=False)


@pytest.fixture
def home(tmp_path: Path) -> HomeOfDagu:
    return HomeOfDagu(tmp_path / "home")


def brought(config: Config, home: HomeOfDagu, **options: Any) -> Report:
    database = config.data_dir / "dagway.db"
    if not options.get("dry_run") and not database.exists():
        # An import migrates an empty database, which takes ten times as long as these imports. See test_command.py.
        config.make_data_dir()
        migrated_sqlite(database)
    return import_dagu(config, home.root, "test", **options)


def results(report: Report, kind: str) -> dict[str, tuple[str, str]]:
    return {entry.name: (entry.result, entry.why) for entry in report.entries if entry.kind == kind}


@contextmanager
def database(config: Config) -> Iterator[Connection]:
    engine = open_engine(f"sqlite:///{config.data_dir}/dagway.db", read_only=True)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def statuses(config: Config) -> dict[str, tuple[str, list[str]]]:
    """Return, by run id, the status of each run and of its nodes."""
    with database(config) as connection:
        found = {}
        for run in connection.execute(select(t.dag_runs)):
            nodes = select(t.nodes.c.status).where(t.nodes.c.run_key == run.run_key).order_by(t.nodes.c.idx)
            found[run.dag_run_id] = run.status, list(connection.execute(nodes).scalars())
        return found


def check(config: Config) -> None:
    """Every check of ``dagway verify`` holds."""
    assert {each.check.name: each.shown for each in check_database(config, utc_now()) if each.count} == {}


def test_runs_keep_their_statuses_and_have_a_history_that_leads_there(config: Config, home: HomeOfDagu) -> None:
    graph = (
        "type: graph\nsteps:\n  - {name: late, command: 'true', depends: [early]}\n  - {name: early, command: 'true'}\n"
    )
    home.run("w", "ended", TWO, 4, [ONE, SECOND])
    home.run("w", "failed", TWO, 2, [ONE | {"status": 2, "error": "exit status 3"}, {"name": "two", "status": 3}])
    home.run("w", "skipped", TWO, 4, [ONE | {"status": 5}, SECOND])
    home.run("w", "waits", TWO, 7, [ONE | {"status": 7}, {"name": "two", "status": 0}])
    home.run("w", "rejected", TWO, 8, [ONE | {"status": 8}, {"name": "two", "status": 0}])
    home.run("w", "partial", TWO, 6, [ONE | {"status": 6}, SECOND])
    home.run("w", "queued", TWO, 5, [{"name": "one", "status": 0}, {"name": "two", "status": 0}], startedAt="-")
    home.run("w", "dequeued", TWO, 3, [{"name": "one", "status": 0}, {"name": "two", "status": 0}], startedAt="")
    home.run("w", "running", TWO, 1, [ONE, SECOND | {"status": 1} | CUT_OFF], **CUT_OFF)
    # The times of Dagu are in whole seconds, and here they are even the wrong way round.
    home.run(
        "g", "graph", graph, 4, [{"name": "late", "status": 4, "log": ""}, {"name": "early", "status": 4, "log": ""}]
    )

    report = brought(config, home)

    assert statuses(config) == {
        "ended": ("succeeded", ["succeeded", "succeeded"]),
        "failed": ("failed", ["failed", "aborted"]),
        "skipped": ("succeeded", ["skipped", "succeeded"]),
        "waits": ("waiting", ["waiting", "not_started"]),
        "rejected": ("rejected", ["rejected", "not_started"]),
        "partial": ("partially_succeeded", ["partially_succeeded", "succeeded"]),
        "queued": ("queued", ["not_started", "not_started"]),
        "dequeued": ("aborted", ["not_started", "not_started"]),
        "running": ("failed", ["succeeded", "failed"]),
        "graph": ("succeeded", ["succeeded", "succeeded"]),
    }
    check(config)
    why = {name: why for name, (_, why) in results(report, "run").items() if why}
    assert why == {"w/running": "it was running, and counts as failed"}
    with database(config) as connection:
        codes = connection.execute(select(t.nodes.c.exit_code).where(t.nodes.c.error == "exit status 3")).scalars()
        assert list(codes) == [3]


def test_sub_runs_hang_below_the_steps_that_called_them(config: Config, home: HomeOfDagu) -> None:
    child = {"dagRunId": "c1", "params": "X=1"}
    root = home.run("calls", "r", CALLS, 4, [{"name": "call", "status": 4, "log": "", "children": [child]}])
    home.sub_run(root, "c1", "kid", KID, caller="calls", nodes=[INNER])
    home.sub_run(root, "nobody-called", "kid", KID, caller="calls", nodes=[INNER])

    brought(config, home)

    check(config)
    assert statuses(config).keys() == {"r", "c1"}
    with database(config) as connection:
        runs = {row.dag_run_id: row for row in connection.execute(select(t.dag_runs))}
    assert (runs["c1"].parent_key, runs["c1"].root_key) == (runs["r"].run_key,) * 2
    assert (runs["c1"].parent_node, runs["c1"].file_name, runs["r"].file_name) == (0, None, "calls")


def test_a_second_import_changes_nothing_and_one_that_was_cut_off_goes_on(
    config: Config, home: HomeOfDagu, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.workflow("w", TWO)
    home.user("u1", "ann", "a long password")
    for number in range(5):
        home.run("w", f"r{number}", TWO, 4, [ONE, SECOND])
    monkeypatch.setattr(history, "_AT_ONCE", 2)
    with monkeypatch.context() as patch:
        read = iter([read_family] * 3)

        def read_three(*given: Any) -> Family:
            return next(read)(*given)

        patch.setattr(history, "read_family", read_three)
        with pytest.raises(StopIteration):
            brought(config, home)
    assert statuses(config).keys() == {"r0", "r1"}

    assert brought(config, home).counts()["run"] == {"loaded": 3, "unchanged": 2, "differs": 0, "refused": 0}
    before = dump(config)
    assert all(entry.result == "unchanged" for entry in brought(config, home).entries)
    assert dump(config) == before


def test_an_import_that_was_killed_at_any_place_goes_on(home: HomeOfDagu, tmp_path: Path) -> None:
    home.workflow("w", TWO)
    home.user("u1", "ann", "a long password")
    for number in range(5):
        home.run("w", f"r{number}", TWO, 4, [ONE, SECOND])
    words = [sys.executable, "-m", "tests.unit.importing.killed_imports", str(home.root), str(tmp_path)]

    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])

    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) >= 8
    assert [each["place"] for each in found if not each["same"]] == []
    assert {each["runs"]["loaded"] + each["runs"]["unchanged"] for each in found} == {5}
    assert {each["runs"]["unchanged"] for each in found} >= {0, 2, 4}


def test_large_logs_are_not_all_in_memory_at_once(
    config: Config, home: HomeOfDagu, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        home.run("w", f"r{number}", TWO, 4, [ONE | {"log": "x" * 600}, SECOND])
    monkeypatch.setattr(history, "_LOG_BYTES", 1000)
    stored: list[list[str]] = []
    write = history._write

    def noting(target: Target, tx: Transaction, families: Sequence[Family]) -> None:
        stored.append([row["dag_run_id"] for family in families for row in family.runs])
        write(target, tx, families)

    monkeypatch.setattr(history, "_write", noting)

    brought(config, home)

    assert [each for each in stored if each] == [["r0", "r1"], ["r2", "r3"]]
    assert statuses(config).keys() == {"r0", "r1", "r2", "r3"}


def dump(config: Config) -> dict[str, list[tuple[Any, ...]]]:
    with database(config) as connection:
        tables = [t.dag_runs, t.nodes, t.transitions, t.attempts, t.log_chunks, t.dags, t.dag_versions, t.users]
        return {table.name: sorted(map(tuple, connection.execute(select(table))), key=str) for table in tables}


def test_only_files_where_dagu_writes_logs_are_read_as_logs(config: Config, home: HomeOfDagu, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("private")
    run = home.run("w", "r", TWO, 4, [ONE, SECOND | {"log": ""}])
    first, second = (home.root / f"logs/w/dag-run_r/run_1/{name}.out" for name in ("one", "two"))
    second.unlink()
    second.symlink_to(secret)
    path = next(run.glob("*/status.jsonl"))
    path.write_text(path.read_text().replace(str(first), f"{first.parent}/../../../../../secret"))

    brought(config, home)

    assert statuses(config)["r"] == ("succeeded", ["succeeded", "succeeded"])
    with database(config) as connection:
        assert list(connection.execute(select(t.log_chunks.c.data)).scalars()) == []


def test_workflows_that_are_here_already_stay_as_they_are(config: Config, home: HomeOfDagu) -> None:
    home.workflow("w", TWO, suspended=True)
    home.workflow("broken", "steps:\n  - comand: x\n")
    home.workflow("team/kid", KID)
    first = brought(config, home)
    (home.root / "dags/w.yaml").write_text(CALLS)

    second = brought(config, home)

    assert results(first, "workflow")["w.yaml"] == ("loaded", "")
    assert results(first, "workflow")["broken.yaml"][0] == "differs"
    assert "comand" in results(first, "workflow")["broken.yaml"][1]
    assert results(second, "workflow")["w.yaml"] == ("differs", "another text is here, and stays")
    assert results(second, "callable file") == {"team/kid.yaml": ("unchanged", "")}
    with database(config) as connection:
        rows = {row.file_name: row for row in connection.execute(select(t.dags))}
    assert (rows["w"].suspended, rows["w"].version, rows["broken"].suspended) == (True, 1, False)


def test_workflows_in_the_yaml_of_dagu_2_are_loaded_with_what_differs(config: Config, home: HomeOfDagu) -> None:
    home.workflow("fits", "labels: [a]\nsteps: [{id: a, run: echo hi}]\n")
    home.workflow("warns", "retry_policy: {limit: 1}\nsteps: [{id: a, run: echo hi}]\n")
    home.workflow("lacks", "steps: [{id: a, action: router.route, with: {}}]\n")

    found = results(brought(config, home), "workflow")

    assert {name: result for name, (result, _) in found.items()} == {
        "fits.yaml": "loaded",
        "warns.yaml": "differs",
        "lacks.yaml": "differs",
    }
    assert "line 1, column 1: retry_policy" in found["warns.yaml"][1]
    assert "does not run: line 1, column 17: steps[0].action: action router.route" in found["lacks.yaml"][1]


def test_accounts_that_were_renamed_here_stay_as_they_are(config: Config, home: HomeOfDagu) -> None:
    home.workflow("w", TWO)
    home.user("u1", "ann", "a long password")
    home.api_key("k1", "ci", "dagu_3sEabCAFmiaprqvDh72CC")
    home.webhook("h1", "w", "dagu_wh_SPa2n2NwupXQ7LTynY5osD")
    home.run("w", "r", TWO, 4, [ONE, SECOND])
    brought(config, home, history=False)
    engine = open_engine(f"sqlite:///{config.data_dir}/dagway.db")
    with engine.begin() as connection:
        connection.execute(update(t.users).values(username="anna"))
        connection.execute(update(t.api_keys).values(name="builds"))
        connection.execute(update(t.webhooks).values(file_name="other"))
    engine.dispose()

    report = brought(config, home)

    assert results(report, "user") == {"ann": ("differs", "it was renamed here, and stays as anna")}
    assert results(report, "API key") == {"ci": ("differs", "it was renamed here, and stays as builds")}
    assert results(report, "webhook") == {"w": ("differs", "it was renamed here, and stays as other")}
    assert results(report, "run") == {"w/r": ("loaded", "")}


def test_files_are_copied_to_the_folder_that_is_followed(config: Config, home: HomeOfDagu, tmp_path: Path) -> None:
    home.workflow("w", TWO)
    home.workflow("other", TWO)
    home.workflow("team/kid", KID)
    followed = tmp_path / "followed"
    followed.mkdir()
    (followed / "other.yaml").write_text(CALLS)
    config = replace(config, dags_dir=followed)

    tried = brought(config, home, dry_run=True)
    assert [path.name for path in followed.iterdir()] == ["other.yaml"]
    report = brought(config, home)

    assert results(tried, "workflow") == results(report, "workflow")
    assert (followed / "w.yaml").read_text() == TWO
    assert (followed / "team/kid.yaml").read_text() == KID
    assert results(report, "workflow")["other.yaml"] == (
        "differs",
        f"{followed}/other.yaml has another text, which stays",
    )
    with database(config) as connection:
        found = connection.execute(select(t.dags.c.file_name, t.dags.c.folder_hash == t.dags.c.spec_hash)).all()
    assert found == [("w", True)]


def test_a_dry_run_reports_the_same_and_makes_no_database(config: Config, home: HomeOfDagu) -> None:
    home.workflow("w", TWO)
    home.run("w", "r", TWO, 4, [ONE, SECOND])

    tried = brought(config, home, dry_run=True)

    assert not config.data_dir.exists()
    assert tried.counts() == brought(config, home).counts()
    assert brought(config, home, dry_run=True).counts()["run"]["unchanged"] == 1


def test_what_cannot_be_imported_is_refused_with_the_reason(config: Config, home: HomeOfDagu) -> None:
    home.run("w", "fine", TWO, 4, [ONE, SECOND])
    home.run("w", "latest", TWO, 4, [ONE, SECOND])
    home.run("w", "never", TWO, 0, [{"name": "one", "status": 0}])
    home.run("w", "other-steps", TWO, 4, [ONE])
    home.run("w", "old-words", "steps:\n  - name: one\n    comand: x\n", 4, [ONE])
    torn = home.run("w", "torn", TWO, 4, [ONE, SECOND])
    next(torn.glob("*/status.jsonl")).write_text('{"name": "w"')
    home.run("w", "odd", TWO, 4, [ONE | {"status": 77}, SECOND])
    home.run("w", "no-zone", TWO, 4, [ONE, SECOND], startedAt="2026-03-01T10:00:00")
    home.run("w", "too-late", TWO, 4, [ONE, SECOND], createdAt=10**18)
    home.user("u1", "ann", "a long password", role="keeper")
    home.user("u3", "acme␟eve", "a long password", role="viewer")
    (home.root / "data/users/u2.json").write_text('{"username": "bob"}')

    report = brought(config, home)

    runs = results(report, "run")
    assert runs.pop("w/fine") == ("loaded", "")
    assert runs.pop("w/old-words") == (
        "differs",
        "its workflow has errors here, so it cannot be retried: line 2, column 5: steps[0]: step command is required",
    )
    assert {result for result, _ in runs.values()} == {"refused"}
    assert runs["w/latest"][1].startswith("its id must be")
    assert runs["w/never"][1] == "it was never started"
    assert runs["w/other-steps"][1] == "its steps are not those of its workflow: two"
    assert runs["w/torn"][1] == "no attempt has a status that can be read"
    assert runs["w/odd"][1].startswith("nodes.0.status: Input should be")
    assert runs["w/no-zone"][1].startswith("startedAt: Value error, not a time with a time zone")
    assert runs["w/too-late"][1].startswith("createdAt: Input should be less than")
    assert results(report, "user")["ann"] == ("refused", "there is no role 'keeper' here")
    why = "its name must not contain the character ␟ (U+241F)"
    assert results(report, "user")["acme␟eve"] == ("refused", why)
    assert results(report, "user")["u2.json"][1].startswith("id: Field required; role: Field required")
    assert json.loads(report.as_json())["counts"]["user"]["refused"] == 3
    check(config)


def test_text_is_stored_without_nul_which_postgres_cannot_store(config: Config, home: HomeOfDagu) -> None:
    spec = "steps:\n  - name: one\n    command: echo '\0'\n"
    outputs = {"OUT": "OUT=a\0b\\u0000"}
    home.run("w", "r", spec, 2, [ONE | {"status": 2, "error": "not\0 found", "outputVariables": outputs}])

    brought(config, home)

    with database(config) as connection:
        node = connection.execute(select(t.nodes.c.error, t.nodes.c.outputs)).one()
        specs = list(connection.execute(select(t.specs.c.yaml)).scalars())
    assert (node.error, node.outputs) == ("not found", {"OUT": "ab\\u0000"})
    assert not any("\0" in each for each in specs)


def test_of_a_status_that_was_cut_off_the_line_before_counts(config: Config, home: HomeOfDagu) -> None:
    run = home.run("w", "r", TWO, 4, [ONE, SECOND])
    path = next(run.glob("*/status.jsonl"))
    path.write_text(path.read_text() + '{"name": "w", "dagRunId"')

    brought(config, home)

    assert statuses(config)["r"][0] == "succeeded"


def test_a_home_in_which_a_run_is_running_is_refused(config: Config, home: HomeOfDagu) -> None:
    heartbeat = home.root / "data/proc/w/w/proc_20260301_100000Z_r.proc"
    heartbeat.parent.mkdir(parents=True)
    heartbeat.write_bytes(struct.pack(">q", int(time.time())))

    with pytest.raises(ConfigInvalid, match="Dagu is running proc_20260301_100000Z_r: stop Dagu first"):
        brought(config, home)
    heartbeat.write_bytes(struct.pack(">q", int(time.time()) - 3600))
    brought(config, home)


def test_a_folder_that_is_no_home_is_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="not a Dagu home folder"):
        import_dagu(config, tmp_path, "test")
