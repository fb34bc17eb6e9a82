"""Where services get the keys that seal parameters and stored secrets."""

import logging
import resource
import stat
from pathlib import Path

import pytest

from services.processes import sealing
from services.processes.sealing import seal_keys, stored_secret_keys
from shared.errors import ConfigInvalid
from shared.settings.config import Config, load_config


def _config(folder: Path, **env: str) -> Config:
    return load_config({}, {"DAGWAY_DATA_DIR": str(folder), **env})


def test_an_embedded_worker_makes_a_key_and_keeps_it(tmp_path: Path) -> None:
    (made,) = seal_keys(_config(tmp_path))

    assert seal_keys(_config(tmp_path)) == (made,)
    assert [path.name for path in tmp_path.iterdir()] == ["worker-seal-keys"]
    assert stat.S_IMODE((tmp_path / "worker-seal-keys").stat().st_mode) == 0o600
    assert len(made.secret) == 64
    (tmp_path / "other").mkdir()
    assert seal_keys(_config(tmp_path / "other")) != (made,)


def test_keys_of_the_setting_come_first(tmp_path: Path) -> None:
    keys = seal_keys(_config(tmp_path, DAGWAY_WORKER_SEAL_KEYS=f"new={'n' * 32},old={'o' * 32}"))

    assert [key.id for key in keys] == ["new", "old"]
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_an_error_that_does_not_tell_the_key(tmp_path: Path) -> None:
    (tmp_path / "worker-seal-keys").write_text("own=short-key\n")

    with pytest.raises(ConfigInvalid, match="worker-seal-keys: the keys .* 'own': expected a secret of 32") as caught:
        seal_keys(_config(tmp_path))
    assert "short-key" not in str(caught.value)


def test_a_key_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # like a full disk
    try:
        with pytest.raises(ConfigInvalid, match="worker-seal-keys: the keys .* cannot be written: .*File too large"):
            seal_keys(_config(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_of_a_cluster_without_keys_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert seal_keys(_config(tmp_path, DAGWAY_AMQP_URL="amqp://unused/")) == ()

    (record,) = caplog.records
    assert record.message == "worker.no_seal_keys"
    assert "DAGWAY_WORKER_SEAL_KEYS" in record.__dict__["next"]
    assert list(tmp_path.iterdir()) == []


def test_an_embedded_system_has_a_key_of_its_own_for_stored_secrets(tmp_path: Path) -> None:
    (made,) = stored_secret_keys(_config(tmp_path))

    assert stored_secret_keys(_config(tmp_path)) == (made,)
    assert seal_keys(_config(tmp_path)) != (made,)
    assert stat.S_IMODE((tmp_path / "secret-keys").stat().st_mode) == 0o600
    (set_by_hand,) = stored_secret_keys(_config(tmp_path, DAGWAY_SECRET_KEYS=f"mine={'m' * 32}"))
    assert set_by_hand.id == "mine"
    (tmp_path / "cluster").mkdir()
    assert stored_secret_keys(_config(tmp_path / "cluster", DAGWAY_AMQP_URL="amqp://unused/")) == ()
    assert list((tmp_path / "cluster").iterdir()) == []


def test_of_two_processes_that_make_a_key_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "secret-keys"
    sealing._make(path)
    first = path.read_text()
    sealing._make(path)  # by the other, which had also seen that there is no file

    assert path.read_text() == first
    assert list(tmp_path.iterdir()) == [path]
