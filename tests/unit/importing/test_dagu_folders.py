"""Where an import finds what Dagu wrote, such as a home in two folders or runs in a folder of another name."""

from pathlib import Path

from sqlalchemy import select

from shared.settings.config import Config
from shared.store import tables as t
from tests.harness.dagu_home import HomeOfDagu
from tests.unit.importing.test_dagu import ONE, SECOND, TWO, brought, config, database, home, results

__all__ = ["config", "home"]

ALONE = "steps: [{name: one, command: echo}]\n"


def test_a_home_without_dagu_home_is_in_two_folders(config: Config, tmp_path: Path) -> None:
    home = HomeOfDagu(tmp_path / ".config/dagu", tmp_path / ".local/share/dagu")
    home.workflow("w", TWO, suspended=True)
    home.run("w", "ended", TWO, 4, [ONE, SECOND])

    report = brought(config, home)

    assert report.refused == 0, list(report.as_text())
    assert results(report, "run") == {"w/ended": ("loaded", "")}
    with database(config) as connection:
        assert list(connection.execute(select(t.dags.c.suspended)).scalars()) == [True]
        assert len(list(connection.execute(select(t.log_chunks)))) == 2


def test_a_home_without_its_data_is_no_success(config: Config, home: HomeOfDagu) -> None:
    home.workflow("w", TWO)

    report = brought(config, home)

    (said,) = results(report, "data").values()
    assert said[0] == "refused"
    assert "paths.dataDir" in said[1]
    assert results(report, "workflow") == {"w.yaml": ("loaded", "")}


def test_runs_in_a_folder_of_another_name_are_imported_once(config: Config, home: HomeOfDagu) -> None:
    home.workflow("new", TWO)
    home.run("old", "before", TWO, 4, [ONE, SECOND])
    (home.root / "data/dag-runs/old").rename(home.root / "data/dag-runs/new")
    home.run("new", "since", TWO, 4, [ONE, SECOND])

    loaded, again = (results(brought(config, home), "run") for _ in range(2))

    assert loaded == {"old/before": ("loaded", ""), "new/since": ("loaded", "")}
    assert again == {"old/before": ("unchanged", ""), "new/since": ("unchanged", "")}


def test_the_configuration_may_name_folders_by_the_variable_of_the_home(config: Config, home: HomeOfDagu) -> None:
    home.workflow("w", TWO)
    home.run("w", "ended", TWO, 4, [ONE, SECOND])
    (home.root / "dags").rename(home.root / "flows")
    (home.root / "data").rename(home.root / "state")
    paths = "{dagsDir: '${DAGU_HOME}/flows', dataDir: $DAGU_HOME/state}"
    (home.root / "config.yaml").write_text(f"paths: {paths}\n")

    report = brought(config, home)

    assert report.refused == 0, list(report.as_text())
    assert results(report, "run") == {"w/ended": ("loaded", "")}


def test_a_queued_run_belongs_to_the_workflow_file_with_its_text(config: Config, home: HomeOfDagu) -> None:
    named = f"name: w\n{TWO}"
    home.workflow("flow", named)
    for copy in ("copy", "original"):
        home.workflow(copy, ALONE)
    fresh = [{"name": "one", "status": 0}, {"name": "two", "status": 0}]
    home.run("w", "stored", named, 5, fresh, startedAt="-")
    home.run("w", "inline", TWO, 5, fresh, startedAt="-")
    home.run("original", "one-of-two", ALONE, 5, fresh[:1], startedAt="-")

    assert brought(config, home).refused == 0
    with database(config) as connection:
        rows = connection.execute(select(t.dag_runs.c.dag_run_id, t.dag_runs.c.file_name))
        assert dict(map(tuple, rows)) == {"stored": "flow", "inline": None, "one-of-two": "original"}
