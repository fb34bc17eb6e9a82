"""Workers that share a data folder: each has a folder, an id and step users of its own."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from services.worker.own_folder import own_folder
from shared.errors import ConfigInvalid
from shared.settings.config import Config, load_config
from shared.settings.user_readers import StepUserRange


def _config(data: Path, host: str, *, pool: str = "default", **given: str) -> Config:
    """Return the settings of a worker on a host with this name."""
    config = load_config({"data_dir": str(data), "data_workers": "2", "worker_pool": pool, **given}, {})
    return replace(config, worker_id=given.get("worker_id", f"{pool}-{host}"))


def _id(config: Config) -> tuple[str, str]:
    """Take a folder for a moment; return its name and the worker's id."""
    with own_folder(config) as (folder, own):
        return folder.name, own.worker_id


def test_two_workers_never_share_a_folder(tmp_path: Path) -> None:
    users = {"step_user": "20000-20999"}
    with own_folder(_config(tmp_path, "a", **users)) as (first, one):
        first.chmod(0o711)
        with own_folder(_config(tmp_path, "b", **users)) as (second, other):
            assert (first.name, second.name) == ("worker", "worker-2")
            assert (one.worker_id, other.worker_id) == ("default-a", "default-b")
            assert one.step_user == StepUserRange(20000, 20000, 500)
            assert other.step_user == StepUserRange(20500, 20500, 500)
            assert first.stat().st_mode & 0o777 == 0o711, "its steps still pass"
            with pytest.raises(ConfigInvalid, match="2 other workers use"), ExitStack() as stack:
                stack.enter_context(own_folder(_config(tmp_path, "c")))
        assert _id(_config(tmp_path, "c")) == ("worker-2", "default-b"), "it is free again"


def test_a_worker_takes_over_the_id_with_the_folder_unless_it_is_told_another(tmp_path: Path) -> None:
    assert _id(_config(tmp_path, "a")) == ("worker", "default-a")
    assert _id(_config(tmp_path, "new")) == ("worker", "default-a")
    assert _id(_config(tmp_path, "new", worker_id="default-told")) == ("worker", "default-told")
    assert _id(_config(tmp_path, "new")) == ("worker", "default-a")
    assert _id(_config(tmp_path, "new", pool="gpu")) == ("worker", "gpu-new"), "logins of a pool have rights on its ids"


def test_a_folder_for_one_worker_is_refused_to_another_and_leaves_settings_alone(tmp_path: Path) -> None:
    alone = replace(_config(tmp_path, "a", step_user="20000-20999"), data_workers=1)
    with own_folder(alone) as (folder, own):
        assert (folder, own) == (tmp_path / "worker", alone)
        with pytest.raises(ConfigInvalid, match="another worker uses"), ExitStack() as stack:
            stack.enter_context(own_folder(alone))
    assert _id(replace(alone, worker_id="default-b")) == ("worker", "default-b")


def test_step_users_that_are_too_few_to_divide_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="too few"), own_folder(_config(tmp_path, "a", step_user="20000-20002")):
        pass
    with own_folder(_config(tmp_path, "a", step_user="20000")) as (_, own):
        assert own.step_user == StepUserRange(20000, 20000, 1), "all steps have one user anyway"
