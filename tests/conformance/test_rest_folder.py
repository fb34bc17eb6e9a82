"""The API with a DAG folder."""

import os
from pathlib import Path

from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import Live, open_live
from tests.harness.eventually import eventually

STEPS = "steps:\n  - echo hi\n"
NO_NAME = (
    "not a valid file name: it is too long, has a backslash or characters that cannot be printed, or is made of dots"
)
LONG = "a-name-of-forty-one-letters-is-one-too-many"


def files(live: Live) -> list[str]:
    return [dag["fileName"] for dag in live.get("/dags")["dags"]]


def until_told(live: Live, *errors: str) -> None:
    for path in ("/dags", "/dags/tags", "/dags?name=fits-none&perPage=1"):
        eventually(lambda path=path: live.get(path)["errors"] == list(errors))  # type: ignore[misc]


def test_files_that_cannot_be_loaded_are_listed_until_they_can(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "fine.yaml").write_text(STEPS)
    (tmp_path / "large.yaml").write_text(STEPS + "# " + 1024 * 1024 * "x")
    (tmp_path / "memory.yaml").symlink_to("/proc/self/mem")
    (tmp_path / "nowhere.yaml").symlink_to("gone.yaml")
    (tmp_path / ".#lock.yaml").symlink_to("somebody@somewhere.1")
    Path(os.fsdecode(os.fsencode(tmp_path / "odd") + b"\t\xff.yml")).write_text(STEPS)
    (tmp_path / "team").mkdir()
    (tmp_path / "team/not\tto be called.yaml").write_text(STEPS)
    for name in ("..yaml", "team/..yaml", "team/...yml", "team/.yaml"):
        (tmp_path / name).write_text(STEPS)
    (tmp_path / "team/kid.yaml").write_text(STEPS + "# " + 1024 * 1024 * "x")
    large = "cannot be read: larger than 1 MiB"

    with open_live(deployment, dags_dir=tmp_path) as live:
        until_told(
            live,
            f"..yaml: {NO_NAME}",
            f"large.yaml: {large}",
            "memory.yaml: cannot be read: a link to another file system",
            "nowhere.yaml: cannot be read: No such file or directory",
            f"odd\\t\\udcff.yml: {NO_NAME}",
            f"team/kid.yaml: {large}",
        )
        eventually(lambda: files(live) == ["fine.yaml"])

        (tmp_path / "large.yaml").write_text(STEPS)
        for name in ("memory.yaml", "nowhere.yaml", "team/kid.yaml"):
            (tmp_path / name).unlink()
        until_told(live, f"..yaml: {NO_NAME}", f"odd\\t\\udcff.yml: {NO_NAME}")
        eventually(lambda: files(live) == ["fine.yaml", "large.yaml"])

    Path(os.fsdecode(os.fsencode(tmp_path / "odd") + b"\t\xff.yml")).unlink()
    (tmp_path / "..yaml").unlink()
    with open_live(deployment, dags_dir=tmp_path) as live:
        until_told(live)


def test_a_file_may_have_any_name_if_the_name_in_it_is_valid(deployment: Deployment, tmp_path: Path) -> None:
    for number, name in enumerate(("with space", "日本語", "héllo & wörld", "50%")):
        (tmp_path / f"{name}.yaml").write_text(f"name: inner{number}\n{STEPS}")
    for name in ("no name", LONG):
        (tmp_path / f"{name}.yaml").write_text(STEPS)
    (tmp_path / "team").mkdir()
    (tmp_path / "team/très court.yaml").write_text(f"name: inner4\n{STEPS}")
    (tmp_path / "calls.yaml").write_text("steps:\n  - call: team/très court\n")
    with open_live(deployment, dags_dir=tmp_path) as live:
        eventually(lambda: len(files(live)) == 7)
        errors = {dag["fileName"]: dag["errors"] for dag in live.get("/dags")["dags"] if dag["errors"]}
        assert errors.keys() == {"no name.yaml", f"{LONG}.yaml"}, "Dagu lists them with an error too"

        live.until("inner1", live.start("日本語"), 4)
        live.until("inner3", live.start("50%25"), 4)
        live.until("calls", live.start("calls"), 4)
        assert live.get("/dags/with space/spec")["spec"].startswith("name: inner0")
        assert live.refused("POST", "/dags/no name/start") == (400, "bad_request")
        assert live.refused("POST", "/dags", {"name": "with blank", "spec": STEPS}) == (400, "bad_request")


def test_a_file_that_outgrows_the_limit_leaves_its_dag_as_it_was(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "grows.yaml").write_text(STEPS)
    with open_live(deployment, dags_dir=tmp_path) as live:
        eventually(lambda: files(live) == ["grows.yaml"])
        # At once: a file that is still being written is shorter, and valid.
        (tmp_path / "grows.part").write_text(STEPS + "# " + 1024 * 1024 * "x")
        (tmp_path / "grows.part").replace(tmp_path / "grows.yaml")

        until_told(live, "grows.yaml: cannot be read: larger than 1 MiB")

        assert live.get("/dags/grows/spec")["spec"] == STEPS


def test_what_was_deleted_or_renamed_stays_so_over_a_restart(deployment: Deployment, tmp_path: Path) -> None:
    for name in ("v1.2.yml", "twin2.yaml"):
        (tmp_path / name).write_text(STEPS)
    with open_live(deployment, dags_dir=tmp_path) as live:
        eventually(lambda: files(live) == ["twin2.yaml", "v1.2.yaml"])
        assert live.ask("DELETE", "/dags/v1.2").status_code == 204
        live.post("/dags/twin2/rename", {"newFileName": "twin3"})

    (tmp_path / "last.yaml").write_text(STEPS)
    with open_live(deployment, dags_dir=tmp_path) as live:
        eventually(lambda: "last.yaml" in files(live))

        assert files(live) == ["last.yaml", "twin3.yaml"]
        for name in ("v1.2", "twin2"):
            assert live.refused("GET", f"/dags/{name}") == (404, "not_found")
        live.ask("DELETE", "/dags/twin3")
