"""Readers of settings: each returns the value that a text means, or raises ``ValueError`` with what is wrong."""

import codecs
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from shared.contracts.worker_pools import WORKER_POOL_RULE, valid_worker_pool
from shared.ids import MOST_LABEL_CHARS, MOST_LABELS, valid_worker_id
from shared.roles import ROLES
from shared.workspaces import WORKSPACE_RULE, valid_workspace

__all__ = [
    "base_path",
    "control_group",
    "cpus",
    "days_kept",
    "existing_file",
    "existing_folder",
    "folder",
    "folders",
    "front_end_folder",
    "gateway_url",
    "group_roles",
    "header_value",
    "host_names",
    "labels",
    "limits",
    "one_of",
    "origins",
    "seconds",
    "server_url",
    "size",
    "text_encoding",
    "true_or_false",
    "url",
    "whole_number",
    "whole_seconds",
    "words",
    "worker_id",
    "worker_pool",
    "zone_name",
]

_LABEL = re.compile(rf"[A-Za-z0-9_./-]{{1,{MOST_LABEL_CHARS}}}")
_NO_HEADER = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")
_ANSWER_S = 3.0
"""How long to wait for a file system that is asked for a folder."""
_TIME = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,7})m)?(?:(\d{0,9}\.?\d{1,9})s?)?")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``low`` to ``high``."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,9}", text.strip()) or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return read


def _time_s(text: str, low: float, high: float) -> float:
    found = _TIME.fullmatch(text.strip())
    hours, minutes, rest = (float(part or 0) for part in found.groups()) if found else (0, 0, 0)
    value = hours * 3600 + minutes * 60 + rest
    if not found or not text.strip() or not low <= value <= high:
        raise ValueError(f"{text!r} is not a time from {low:.10g} to {high:.10g} s, such as 90, 90s, 15m or 24h")
    return value


def seconds(text: str) -> float:
    """Return the seconds of a time of up to an hour, such as ``2.5``, ``90s`` or ``15m``."""
    return _time_s(text, 0.5, 3600)


def whole_seconds(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of times from ``low`` to ``high`` seconds, such as ``90``, ``90s``, ``15m`` or ``24h``."""

    def read(text: str) -> int:
        if (value := _time_s(text, low, high)) != int(value):
            raise ValueError(f"{text!r} is not a whole number of seconds")
        return int(value)

    return read


def days_kept(least: int) -> Callable[[str], int]:
    """Return a reader of how many days something is kept: 0 (for ever), or ``least`` to 100000."""

    def read(text: str) -> int:
        days = int(text) if re.fullmatch(r"\d{1,6}", text.strip()) else -1
        if days != 0 and not least <= days <= 100_000:
            raise ValueError(f"{text!r} is not 0 or a whole number of days from {least} to 100000")
        return days

    return read


def cpus(text: str) -> float:
    """Return a number of CPUs, such as ``0.5``."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0.01 <= value <= 1024:
        raise ValueError(f"{text!r} is not a number of CPUs from 0.01 to 1024")
    return value


def labels(text: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of ``key=value,key=value``, sorted."""
    labels: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, mark, value = item.partition("=")
        if not mark or not _LABEL.fullmatch(key.strip()) or not _LABEL.fullmatch(value.strip()):
            raise ValueError(
                f"{item!r} is not a label: expected key=value, with key and value of 1 to {MOST_LABEL_CHARS} letters, "
                "digits or _ . / -"
            )
        labels[key.strip()] = value.strip()
    if len(labels) > MOST_LABELS:
        raise ValueError(f"{len(labels)} labels are too many: a worker may have {MOST_LABELS}")
    return tuple(sorted(labels.items()))


def group_roles(text: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of ``group=role,group=workspace:role``. A group's name may have any character but a comma.

    A group may have a role in the default workspace and one in each of several others.
    """
    roles: dict[tuple[str, str], str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        group, _, given = item.rpartition("=")
        workspace, colon, role = (part.strip() for part in given.lower().rpartition(":"))
        if not group.strip() or role not in ROLES:
            raise ValueError(
                f"{item!r} is not a group and its role: expected group=role or group=workspace:role, with one of "
                f"{', '.join(ROLES)}"
            )
        if colon and not valid_workspace(workspace):
            raise ValueError(f"{item!r}: the workspace {workspace!r} must be {WORKSPACE_RULE}")
        roles[group.strip(), workspace] = f"{workspace}{colon}{role}"
    return tuple((group, role) for (group, _), role in roles.items())


def limits(text: str) -> tuple[tuple[str, int], ...]:
    """Return the pairs of ``name=limit,name=limit``, sorted."""
    limits: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, limit = item.rpartition("=")
        if not _LABEL.fullmatch(name.strip()) or not re.fullmatch(r"\s*[1-9]\d{0,5}\s*", limit):
            raise ValueError(
                f"{item!r} is not a limit: expected name=limit, with a name of 1 to 63 letters, digits or _ . / - "
                "and a limit from 1 to 999999"
            )
        limits[name.strip()] = int(limit)
    return tuple(sorted(limits.items()))


def zone_name(text: str) -> str:
    """Return the name of a time zone."""
    try:
        return ZoneInfo(text).key
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{text!r} is not a time zone such as Europe/Berlin") from error


def text_encoding(text: str) -> str:
    """Return the name of an encoding, as Python knows it, of ``utf-8``, ``Shift_JIS`` and the like."""
    try:
        "".encode(text)
    except LookupError:
        raise ValueError(f"{text!r} is not the name of a text encoding, such as utf-8 or shift_jis") from None
    return codecs.lookup(text).name


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a reader of one of these words, in any letter case."""

    def read(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(allowed)}")
        return text.lower()

    return read


def worker_id(text: str) -> str:
    """Return a worker id."""
    if not valid_worker_id(text):
        raise ValueError(f"{text!r} is not a worker id: expected 1 to 100 letters, digits or _ . -")
    return text


def worker_pool(text: str) -> str:
    """Return the name of a worker pool. It has no dash, so that no pool's name and dash begin another's."""
    if not valid_worker_pool(text):
        raise ValueError(f"{text!r} is not the name of a worker pool: expected {WORKER_POOL_RULE}")
    return text


def control_group(text: str) -> str:
    """Return the folder of a control group, or ``own``."""
    if text != "own" and not (text.startswith("/") and Path(text, "cgroup.procs").exists()):
        raise ValueError(f"{text!r} is neither own nor the folder of a control group of version 2")
    return text.rstrip("/")


def folder(text: str) -> Path:
    """Return an absolute path."""
    return Path(text).expanduser().absolute()


def existing_file(text: str) -> Path:
    """Return the absolute path of a file that exists."""
    path = folder(text)
    if not path.is_file():
        raise ValueError(f"{text!r} is not an existing file")
    return path


def folders(text: str) -> tuple[Path, ...]:
    """Return the absolute paths of ``folder,folder``, at least one: without the setting, any folder will do."""
    paths = tuple(folder(part.strip()) for part in text.split(",") if part.strip())
    if not paths:
        raise ValueError(f"{text!r} names no folder")
    return paths


def existing_folder(text: str) -> Path:
    """Return the absolute path of a folder that exists.

    A file system that fails or does not answer, such as that of a dead NFS server, says nothing about that. Whoever
    uses the folder says so then.
    """
    path = folder(text)
    found: list[bool] = []

    def look() -> None:
        try:
            found.append(stat.S_ISDIR(path.stat().st_mode))
        except (FileNotFoundError, NotADirectoryError, ValueError):  # no path has a zero byte
            found.append(False)
        except OSError:
            return

    # Nothing ends a thread that waits for such a file system.
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(_ANSWER_S)
    if found == [False]:
        raise ValueError(f"{text!r} is not an existing folder")
    return path


def front_end_folder(text: str) -> Path:
    """Return the folder of a front end's bundle."""
    path = existing_folder(text)
    if not any((path / name).is_file() for name in ("bundle.js", "assets/bundle.js")):
        raise ValueError(f"the folder {text!r} contains neither bundle.js nor assets/bundle.js")
    return path


def true_or_false(text: str) -> bool:
    """Return whether the text means true."""
    if text.lower() not in {"true", "false", "1", "0", "yes", "no"}:
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() in {"true", "1", "yes"}


def base_path(text: str) -> str:
    """Return a path without a trailing slash."""
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(?:/[A-Za-z0-9_.~-]+)+", path):
        raise ValueError(f"{text!r} is not a path such as /dagway")
    return path


def url(text: str) -> str:
    """Return an HTTP or HTTPS URL. It has no user or password: the settings page and logs show these URLs."""
    if "@" in urlsplit(text).netloc:
        raise ValueError("the URL must have no user or password")
    if not re.fullmatch(r"https?://[^\s/?#]+(?:/[^\s?#]*)?", text):
        raise ValueError(f"{text!r} is not a URL such as https://login.example.org")
    return text


def server_url(text: str) -> str:
    """Return the URL of a server, without a trailing slash."""
    return url(text).rstrip("/")


def host_names(text: str) -> tuple[str, ...]:
    """Return the names of a list in lower case."""
    names = words(text.lower())
    for name in names:
        if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", name):
            raise ValueError(f"{name!r} is not a host name such as flows.example.org, without a scheme or a port")
    return names


def header_value(text: str) -> str:
    """Return a text that a request can carry in a header. The error does not show it: it may be a secret."""
    if _NO_HEADER.search(text):
        raise ValueError("there is a line break or another character in it that no request can carry")
    return text


def gateway_url(text: str) -> str:
    """Return the URL of a gateway, without ``/api/v2`` and without a slash at its end. ``http://`` may be missing."""
    url = text if "://" in text else f"http://{text}"
    found = urlsplit(url)
    if found.scheme not in ("http", "https") or not found.hostname or found.query or found.fragment:
        raise ValueError(f"{text!r} is not a URL such as https://dagway.example.org")
    if found.username or found.password:
        raise ValueError("the URL must have no user or password: use a token, or the settings for HTTP Basic")
    return url.rstrip("/").removesuffix("/api/v2").rstrip("/")


def origins(text: str) -> tuple[str, ...]:
    """Return the origins of a list as browsers send them: in lower case, without the scheme's own port."""
    found = []
    for item in words(text.lower()):
        if not re.fullmatch(r"https?://[a-z0-9_.-]+(:\d{1,5})?", item):
            raise ValueError(f"{item!r} is not an origin such as https://dashboard.example.org, without a path")
        found.append(item.removesuffix(":443" if item.startswith("https:") else ":80"))
    return tuple(found)


def size(low: int) -> Callable[[str], int]:
    """Return a reader of sizes from ``low`` bytes, such as ``1048576``, ``512m``, ``4g`` or, as Kubernetes, ``4Gi``."""

    def read(text: str) -> int:
        found = re.fullmatch(r"(\d{1,15})(?:([kmgt])i?)?", text.strip().lower())
        value = int(found[1]) << {None: 0, "k": 10, "m": 20, "g": 30, "t": 40}[found[2]] if found else 0
        if not low <= value < 1 << 60:
            raise ValueError(f"{text!r} is not a size from {low} bytes, such as 512m or 4g")
        return value

    return read


def words(text: str) -> tuple[str, ...]:
    """Return the words of a list, separated by commas or spaces."""
    return tuple(filter(None, re.split(r"[,\s]+", text)))
