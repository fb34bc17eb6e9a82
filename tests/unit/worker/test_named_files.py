"""Files that a DAG names and that the worker itself opens."""

import os
from pathlib import Path
from typing import cast

import pytest

from services.worker.executors.base import Job
from services.worker.executors.tls import tls_context
from services.worker.inputs.dotenv import read_dotenv
from services.worker.inputs.environment import Environment
from services.worker.inputs.named_files import EVERYTHING, Reach
from services.worker.process.supervisor import Supervisor
from shared.errors import InvalidInput
from shared.language.expansion.scope import Scope
from shared.language.model import Step
from tests.harness.counterparts import certificate


@pytest.mark.timeout(20)
def test_what_is_no_file_is_neither_waited_for_nor_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = {each.name for each in Path("/dev/fd").iterdir()}

    for name in ("pipe", ".", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            EVERYTHING.open_to_read(tmp_path / name)
        assert read_dotenv([name], [tmp_path], {}, EVERYTHING) == {}

    # What earlier tests have left open, the garbage collector may close meanwhile.
    assert {each.name for each in Path("/dev/fd").iterdir()} <= before


def test_a_dotenv_file_that_a_run_may_not_name_is_reported_only_if_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A sub-run works in the folder of its caller, in which it may name no file, and nearly all have no ``.env``."""
    (own := tmp_path / "runs" / "called").mkdir(parents=True)
    (callers := tmp_path / "runs" / "caller").mkdir()
    reach = Reach(private=(tmp_path,), own=(own,))

    assert read_dotenv([".env"], [callers, own], {}, reach) == {}
    assert caplog.records == []

    (callers / ".env").write_text("A=1\n")
    assert read_dotenv([".env"], [callers, own], {}, reach) == {}
    assert [each.getMessage() for each in caplog.records] == ["dotenv.unreadable"]


def test_a_dotenv_file_that_nobody_can_look_at_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Like one in a folder that the worker may not enter, of which it cannot know either whether it is there."""
    (tmp_path / ".env").symlink_to(".env")

    assert read_dotenv([".env"], [tmp_path], {}, Reach()) == {}
    assert [each.getMessage() for each in caplog.records] == ["dotenv.unreadable"]


def test_a_step_cannot_identify_itself_by_a_key_that_only_the_worker_may_read(tmp_path: Path) -> None:
    (private := tmp_path / "private").mkdir()
    (folder := tmp_path / "run").mkdir()
    cert, key = certificate(private)
    (folder / "link.pem").symlink_to(cert)
    for name in (cert, key):
        (folder / Path(name).name).write_bytes(Path(name).read_bytes())
    scope = Scope(())
    job = Job(
        Step(name="s"), Environment({}, scope, scope), folder, (), cast("Supervisor", None), reach=Reach((private,))
    )

    for ca_file, client_cert in (("link.pem", ""), ("", cert)):
        with pytest.raises(InvalidInput, match="only the worker may read or write this file"):
            tls_context(job, ca_file=ca_file, client_cert=client_cert, client_key=key)
    own = tls_context(job, ca_file=Path(cert).name, client_cert=Path(cert).name, client_key=Path(key).name)
    assert len(own.get_ca_certs()) == 1


def test_a_run_may_name_its_own_files_and_no_others_of_the_worker(tmp_path: Path) -> None:
    (own := tmp_path / "private" / "run").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "private")
    reach = Reach((tmp_path / "private",), (own,))

    for name in ("private", "private/other", "private/run/../other", "link/other", "private/running"):
        with pytest.raises(PermissionError, match="only the worker may read or write this file"):
            reach.check(tmp_path / name)
    for name in ("private/run", "private/run/x", "link/run/x", "elsewhere", "privately"):
        reach.check(tmp_path / name)
    with pytest.raises(PermissionError, match="only the worker"):
        reach.open(tmp_path / "private" / "new", os.O_WRONLY | os.O_CREAT)
    assert not (tmp_path / "private" / "new").exists()
