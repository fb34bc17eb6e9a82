"""Secrets in files: what the worker reads, and what it refuses to read."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from services.worker.inputs.named_files import EVERYTHING, Reach
from services.worker.inputs.secret_files import MountedSecrets, secret_file
from services.worker.inputs.secret_provider import SecretMissing
from shared.errors import ConfigInvalid
from shared.settings.config import load_config

VALUE = "hunter2-and-more"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as Kubernetes mounts it: keys are links to a folder that is replaced as a whole."""
    folder = tmp_path / "run" / "secrets"
    first = folder / "sales-db" / "..2026_11_27"
    first.mkdir(parents=True)
    (first / "password").write_text(f"{VALUE}\n")
    (folder / "sales-db" / "..data").symlink_to(first.name)
    (folder / "sales-db" / "password").symlink_to("..data/password")
    (folder / "token").write_text(VALUE)
    (folder / "amqp-url").write_text("amqp://of-the-worker")
    (folder / "kubernetes.io" / "serviceaccount").mkdir(parents=True)
    (folder / "kubernetes.io" / "serviceaccount" / "token").write_text("jwt")
    (folder / "account").symlink_to("kubernetes.io/serviceaccount/token")
    (tmp_path / "outside").write_text("elsewhere")
    (folder / "away").symlink_to(tmp_path / "outside")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "pipe")
    (folder / "binary").write_bytes(b"\xff\xfe")
    (folder / "large").write_bytes(b"x" * ((1 << 20) + 1))
    return folder


@pytest.fixture
def mounted(folder: Path, tmp_path: Path) -> MountedSecrets:
    # The folder itself may be behind a link, as /var/run is.
    (tmp_path / "link").symlink_to(folder)
    return MountedSecrets(tmp_path / "link", (folder / "amqp-url",))


def opened_below(folder: Path) -> list[str]:
    """Return what this process has open there. Other threads open and close other files meanwhile."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(str(descriptor.readlink()))
    return [each for each in found if Path(each).is_relative_to(folder)]


@pytest.mark.parametrize("key", ["token", "sales-db/password", "./token", "sales-db/..data/password"])
def test_a_mounted_secret(mounted: MountedSecrets, key: str) -> None:
    assert mounted.read(key) == VALUE


def test_a_replaced_secret_counts_at_the_next_read(mounted: MountedSecrets, folder: Path) -> None:
    second = folder / "sales-db" / "..2026_11_28"
    second.mkdir()
    (second / "password").write_text("new")
    (folder / "sales-db" / "next").symlink_to(second.name)
    (folder / "sales-db" / "next").rename(folder / "sales-db" / "..data")

    assert mounted.read("sales-db/password") == "new"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("none", "there is no file 'none' in the folder of mounted secrets"),
        ("../outside", "'../outside' is not a path within the folder"),
        ("sales-db/../../../outside", "is not a path within the folder"),
        ("/etc/passwd", "'/etc/passwd' is not a path within the folder"),
        ("", "'' is not a path within the folder"),
        ("a\0b", "is not a path within the folder"),
        ("away", "'away' leads out of the folder"),
        ("up/../outside", "is not a path within the folder"),
        ("up/secrets/away", "leads out of the folder"),
        ("kubernetes.io/serviceaccount/token", "only the worker itself may read"),
        ("account", "only the worker itself may read 'account'"),
        ("amqp-url", "only the worker itself may read 'amqp-url'"),
        ("sales-db", "sales-db: not a regular file"),
        ("pipe", "pipe: not a regular file"),
        ("binary", "binary: not UTF-8 text"),
        ("large", "large: larger than 1048576 bytes"),
    ],
)
def test_what_is_refused_is_named_without_its_content(
    mounted: MountedSecrets, tmp_path: Path, key: str, said: str
) -> None:
    with pytest.raises(SecretMissing) as caught:
        mounted.read(key)

    assert said in str(caught.value)
    assert not any(text in str(caught.value) for text in ("elsewhere", "jwt", "of-the-worker", "xff"))
    assert opened_below(tmp_path) == []


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("none", "secret file not found: none"),
        ("pipe", "pipe: not a regular file"),
        ("/dev/zero", "/dev/zero: not a regular file"),
        ("large", "large: larger than 1048576 bytes"),
        ("binary", "binary: not UTF-8 text"),
    ],
)
def test_a_file_that_never_ends_or_is_no_text_is_refused(folder: Path, key: str, said: str) -> None:
    with pytest.raises(SecretMissing) as caught:
        secret_file(key, (folder,), EVERYTHING)

    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["token", "sales-db/password", "sales-db/../token"])
def test_a_file_in_a_folder_of_secrets(folder: Path, tmp_path: Path, key: str) -> None:
    (tmp_path / "link").symlink_to(folder)

    assert secret_file(key, (folder,), EVERYTHING, (tmp_path / "none", tmp_path / "link")) == VALUE


@pytest.mark.parametrize("key", ["token", "../../outside", "/etc/passwd", "away", "none", "sales-db/../token"])
def test_a_worker_with_folders_of_secrets_reads_no_other_file(folder: Path, key: str) -> None:
    with pytest.raises(SecretMissing, match="is in no folder that this worker takes secrets from") as caught:
        secret_file(key, (folder,), EVERYTHING, (folder / "sales-db",))

    assert not any(text in str(caught.value) for text in (VALUE, "elsewhere"))


class _ReplacedLink(Reach):
    """Just before a file is opened, it becomes a link to another one."""

    def open(self, path: str | Path, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        Path(path).unlink()
        Path(path).symlink_to(Path(path).parents[2] / "outside")
        return super().open(path, flags, mode)


def test_a_link_that_changes_meanwhile_leads_to_no_other_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match="is in no folder that this worker takes secrets from"):
        secret_file("token", (folder,), _ReplacedLink(), (folder,))

    assert opened_below(tmp_path) == []


def test_a_list_of_folders_that_names_none_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="DAGWAY_SECRET_FILE_DIRS.* names no folder"):
        load_config({}, {"DAGWAY_SECRET_FILE_DIRS": " , "})
