"""What a step with a user of its own reads and writes through its worker: nothing that its user may not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.cluster import Embedded
from tests.security.conftest import STEP_USERS, WORKER_UID


@pytest.fixture(scope="module")
def place(open_folder: Path) -> Path:
    """A folder with the folder ``dags`` and the file ``private``, which only Dagway's user may write to."""
    place = open_folder / "place"
    for folder in (place, place / "dags"):
        folder.mkdir()
        folder.chmod(0o755)
        os.chown(folder, WORKER_UID, WORKER_UID)
    private = place / "private"
    private.write_text("KEPT=secret\n")
    private.chmod(0o600)
    os.chown(private, WORKER_UID, WORKER_UID)
    return place


@pytest.fixture(scope="module")
def system(place: Path, confined_program: Path) -> Iterator[Embedded]:
    users = {"DAGWAY_STEP_USER": STEP_USERS, "DAGWAY_WORKER_USER": str(WORKER_UID)}
    env = users | {"DAGWAY_AUTH_MODE": "none", "DAGWAY_DAGS_DIR": str(place / "dags")}
    with Embedded(place, env=env, program=confined_program) as system:
        yield system


def _run(system: Embedded, name: str, steps: str, status: str, fields: str = "") -> str:
    """Run a spec that comes with the request; return the error of its first step."""
    spec = {"spec": f"{fields}steps:\n{steps}", "name": name, "dagRunId": "r1"}
    assert system.client.ask("POST", "/dag-runs", spec).status == 200
    return str(system.client.until(status, name)["nodes"][0].get("error", ""))


@pytest.mark.parametrize(
    ("name", "file"),
    [("spec", "dags/forged.yaml"), ("dotenv", "dags/.env"), ("home", "profile"), ("below", "dags/new/forged.yaml")],
)
def test_a_step_makes_no_file_through_its_worker_where_its_user_may_not(
    system: Embedded, place: Path, name: str, file: str
) -> None:
    error = _run(system, name, f"  - command: echo forged\n    stdout: {place}/{file}\n", "failed")

    assert "may not write there" in error or "only the worker may" in error
    assert not (place / file).exists()


def test_a_file_of_the_workers_user_is_neither_changed_nor_opened_to_the_step(system: Embedded, place: Path) -> None:
    private = place / "private"

    error = _run(system, "reader", f"  - command: cat {private}\n    stdout: {private}\n", "failed")

    assert "the user of the step may not write there" in error
    assert private.read_text() == "KEPT=secret\n"
    about = private.stat()
    assert (about.st_mode & 0o777, about.st_gid) == (0o600, WORKER_UID)


def test_a_step_adds_no_folder_to_those_of_the_dag_files(system: Embedded, place: Path) -> None:
    _run(system, "folder", f"  - command: touch forged.yaml\n    workingDir: {place}/dags/new\n", "failed")

    assert not (place / "dags" / "new").exists()


def test_a_step_names_files_that_its_user_may_write_to(system: Embedded, place: Path) -> None:
    """Its own, one that everybody may write to, and new ones where everybody may make some."""
    shared = place / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "all").touch()
    (shared / "all").chmod(0o666)
    files = ("mine/out.txt", f"{shared}/all", f"{shared}/new")
    steps = "".join(f"  - command: echo {number}\n    stdout: {file}\n" for number, file in enumerate(files))

    _run(system, "writer", f"{steps}  - name: read\n    command: cat {' '.join(files)}\n", "succeeded")

    assert system.client.text("writer", "r1", "read").split() == ["0", "1", "2"]
    assert (shared / "all").stat().st_mode & 0o777 == 0o666


def test_a_step_reads_no_file_through_its_worker_that_its_user_may_not(system: Embedded, place: Path) -> None:
    (closed := place / "closed").mkdir()
    for file, mode in ((closed / "inside", 0o644), (place / "readable", 0o644), (place / "dags" / "of-dags", 0o600)):
        file.write_text(f"GOT_{file.name.replace('-', '_').upper()}=1\n")
        file.chmod(mode)
        os.chown(file, WORKER_UID, WORKER_UID)
    os.chown(closed, WORKER_UID, WORKER_UID)
    closed.chmod(0o700)
    files = (f"{place}/private", f"{closed}/inside", f"{place}/readable", f"{place}/dags/of-dags")

    step = "  - name: s\n    command: env | grep -E '^(GOT_|KEPT)' | sort\n"
    _run(system, "variables", step, "succeeded", f"dotenv: [{', '.join(files)}]\n")
    attached = (
        f"  - type: mail\n    config: {{from: a@x.org, to: b@x.org, subject: s, attachments: [{place}/private]}}\n"
    )
    error = _run(system, "attached", attached, "failed", "smtp: {host: localhost, port: 1}\n")

    assert system.client.text("variables", "r1", "s").split() == ["GOT_OF_DAGS=1", "GOT_READABLE=1"]
    assert "cannot read" in error
    assert "the user of the step may not read this file" in error


def test_a_secret_may_be_in_a_file_that_only_the_worker_may_read(system: Embedded, place: Path) -> None:
    secret = f"secrets: [{{name: S, provider: file, key: {place}/private}}]\n"
    _run(system, "secret", "  - name: s\n    command: printenv S | wc -c\n", "succeeded", secret)

    assert system.client.text("secret", "r1", "s").split() == [str(len("KEPT=secret\n"))]
