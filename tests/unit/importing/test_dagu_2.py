"""Importing a home as Dagu 2 documents it: keys in snake case, its own YAML, roles and folders."""

from pathlib import Path

import pytest
from sqlalchemy import select

from services.importing.dagu import import_dagu
from services.importing.report import Entry
from services.verify import check_database
from shared.clock import utc_now
from shared.settings.config import Config, load_config
from shared.store import tables as t
from shared.store.engine import open_engine
from tests.harness.dagu_home import HomeOfDagu

CONFIG = """\
port: 9000
paths: {{dags_dir: "{dags}", users_dir: "{users}", event_store_dir: /events}}
queues: {{config: [{{name: heavy, max_concurrency: 2}}]}}
"""
NIGHTLY = """\
labels: {team: data}
schedule: "0 2 * * *"
max_active_runs: 1
steps:
  - id: one
    run: echo 1
    retry_policy: {limit: 2, interval_sec: 1}
  - id: two
    run: echo 2
"""
BROKEN = "steps:\n  - id: a\n    action: browser.open\n    with: {url: 'http://h'}\n"
NODES = [{"name": "one", "status": 4, "log": "1\n"}, {"name": "two", "status": 2, "log": "2\n", "error": "exit 1"}]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config({"data_dir": str(tmp_path / "data")}, {}, terminal=False)


@pytest.fixture
def home(tmp_path: Path) -> HomeOfDagu:
    home = HomeOfDagu(tmp_path / "home")
    home.workflow("nightly", NIGHTLY)
    home.workflow("broken", BROKEN)
    home.run("nightly", "r1", NIGHTLY, 2, NODES)
    home.user("u1", "ann", "correct horse battery", role="developer", is_disabled=False, workspace_access={"all": True})
    home.user("u2", "bob", "correct horse battery", isDisabled=True)
    home.user("u3", "cat", "", password_hash="", auth_provider="oidc")
    home.user("u4", "dan", "correct horse battery", workspace_access={"all": False, "grants": []})
    dags, users, data = tmp_path / "flows", tmp_path / "people", home.root / "data"
    (home.root / "dags").rename(dags)
    (data / "users").rename(users)
    (home.root / "config.yaml").write_text(CONFIG.format(dags=dags, users=users))
    (data / "suspend").mkdir()
    (data / "suspend/nightly.suspend").touch()
    for name in ("artifacts/nightly", "workspaces", "dag-state"):
        (data / name).mkdir(parents=True)
    (data / "artifacts/nightly/report.md").write_text("# report\n")
    return home


def test_a_home_of_dagu_2_is_imported_with_a_line_for_each_thing(config: Config, home: HomeOfDagu) -> None:
    report = import_dagu(config, home.root, "test")

    found = {(each.kind, each.name): (each.result, each.why) for each in report.entries}
    assert found["workflow", "nightly.yaml"][0] in {"loaded", "differs"}
    assert found["workflow", "broken.yaml"][0] == "differs"
    assert "line 3" in found["workflow", "broken.yaml"][1]
    assert found["user", "ann"] == (
        "differs",
        "its role is operator here: there is no developer, and a manager may also change secrets, queues and pauses",
    )
    assert found["user", "bob"] == ("refused", "it is disabled there, and could log in here")
    assert found["user", "cat"] == ("refused", "it has no password: it logs in by oidc")
    assert found["user", "dan"][0] == "refused"
    assert "workspaces" in found["user", "dan"][1]
    assert found["run", "nightly/r1"] == ("loaded", "")
    assert found["setting", "config.yaml: paths.event_store_dir"][0] == "differs"
    assert "config.yaml: queues.config" in {name for kind, name in found if kind == "setting"}
    assert [each for each in report.entries if each.kind == "folder"] == [
        Entry("folder", "artifacts", "refused", "files that runs have kept are not imported")
    ]
    engine = open_engine(f"sqlite:///{config.data_dir}/dagway.db", read_only=True)
    with engine.connect() as connection:
        dag = connection.execute(select(t.dags).where(t.dags.c.file_name == "nightly")).one()
        nodes = connection.execute(select(t.nodes.c.name, t.nodes.c.status).where(t.nodes.c.kind == "step")).all()
        users = connection.execute(select(t.users.c.username, t.users.c.role)).all()
    engine.dispose()
    assert (dag.suspended, dag.tags, dag.errors) == (True, ["team=data"], [])
    assert set(nodes) == {("one", "succeeded"), ("two", "failed")}
    assert users == [("ann", "operator")]
    assert {each.check.name: each.shown for each in check_database(config, utc_now()) if each.count} == {}
    assert {each.result for each in import_dagu(config, home.root, "test").entries if each.kind == "run"} == {
        "unchanged"
    }
