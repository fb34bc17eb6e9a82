"""Secrets in files: the providers ``file``, whose path the DAG gives, and ``mounted``, a folder of the worker's.

``mounted`` is for the folders of secrets that Kubernetes and Docker mount: a file by secret, or by key in a folder by
secret. In Kubernetes these files are links within the folder.
"""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from services.worker.inputs.named_files import Reach
from services.worker.inputs.secret_provider import SecretMissing
from shared.system.proc import path_of

__all__ = ["MountedSecrets", "secret_file"]

_MOST_BYTES = 1 << 20
"""The largest secret; Kubernetes has the same limit."""
_OF_KUBERNETES = "kubernetes.io"
"""Below it, Kubernetes mounts the token of the worker's own service account."""


def secret_file(key: str, folders: Sequence[Path], reach: Reach, within: Sequence[Path] = ()) -> str:
    """Return the content of the file ``key``. A relative path means the file in the first of ``folders`` that has it.

    Raises ``SecretMissing``, also if the file is in none of the folders ``within``. Without any, it may be anywhere.
    """
    candidates = [folder / Path(key).expanduser() for folder in folders]
    try:
        path = next((one for one in candidates if one.exists()), candidates[0])
        _check_within(key, os.path.realpath(path), within)
        # Checked again when it is open: a step may have replaced a link in between.
        return _text(reach.open(path, os.O_RDONLY | os.O_NONBLOCK), lambda target: _check_within(key, target, within))
    except FileNotFoundError:
        raise SecretMissing(f"secret file not found: {key}") from None
    except (OSError, ValueError) as error:
        raise SecretMissing(f"{key}: {_why(error)}") from error


class MountedSecrets:
    """The folder of ``DAGWAY_SECRETS_DIR``. ``own`` are files that only the worker may read, wherever they are."""

    def __init__(self, folder: Path, own: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._own = own

    def read(self, key: str) -> str:
        """Return the content of the file ``key``, a path within the folder.

        Raises:
            SecretMissing: there is no such file; the path, or a link on it, leads out of the folder; or the file
                belongs to the worker itself.
        """
        path = PurePosixPath(key)
        if path.is_absolute() or ".." in path.parts or "\0" in key or not path.parts:
            raise SecretMissing(f"{key!r} is not a path within the folder of mounted secrets")
        try:
            root = Path(os.path.realpath(self._folder))
            fd = os.open(root / path, os.O_RDONLY | os.O_NONBLOCK)
            return _text(fd, lambda target: self._check(key, root, Path(target)))
        except FileNotFoundError:
            raise SecretMissing(f"there is no file {key!r} in the folder of mounted secrets ({self._folder})") from None
        except (OSError, ValueError) as error:
            raise SecretMissing(f"{key}: {_why(error)}") from error

    def _check(self, key: str, root: Path, target: Path) -> None:
        """Raise ``SecretMissing`` unless the open file may be read. Asked after the open: links may change before."""
        if not target.is_relative_to(root):
            raise SecretMissing(f"{key!r} leads out of the folder of mounted secrets")
        own = any(target == Path(os.path.realpath(one)) for one in self._own)
        if own or target.relative_to(root).parts[:1] == (_OF_KUBERNETES,):
            raise SecretMissing(f"only the worker itself may read {key!r}")


def _check_within(key: str, target: str, folders: Sequence[Path]) -> None:
    if folders and not any(Path(target).is_relative_to(os.path.realpath(each)) for each in folders):
        raise SecretMissing(f"{key} is in no folder that this worker takes secrets from (DAGWAY_SECRET_FILE_DIRS)")


def _text(fd: int, check: Callable[[str], None]) -> str:
    """Return the content of an open file without its last newline, if ``check`` of its path raises nothing. Closes it.

    Raises ``OSError`` or ``ValueError``; the text contains nothing of the content.
    """
    try:
        check(path_of(fd))
        # Asked first: a device may never end, and ``open`` of a folder fails without closing it.
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("not a regular file")
    except BaseException:
        os.close(fd)
        raise
    with open(fd, "rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"larger than {_MOST_BYTES} bytes")
    # Editors end files with a newline, which is not part of the secret and would defeat masking.
    return data.decode().removesuffix("\n").removesuffix("\r")


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        # Its own text quotes the byte.
        return "not UTF-8 text"
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
