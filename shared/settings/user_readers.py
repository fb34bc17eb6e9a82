"""Readers of settings that name users of the machine: the worker's, and those of steps."""

import pwd
import re
from dataclasses import dataclass

__all__ = ["StepUserRange", "step_users", "user"]

_MOST_USERS = 10_000


@dataclass(frozen=True, slots=True)
class StepUserRange:
    """The users of steps: ``count`` of them, with following uids and gids. ``home`` is empty if they have none."""

    first_uid: int
    first_gid: int
    count: int
    home: str = ""

    @property
    def uids(self) -> range:
        return range(self.first_uid, self.first_uid + self.count)

    @property
    def gids(self) -> range:
        return range(self.first_gid, self.first_gid + self.count)


def user(text: str) -> tuple[int, int]:
    """Return the uid and gid of a user other than root, given as a name, ``uid`` or ``uid:gid``.

    The default gid is the user's primary group or, for a uid without an entry, the same number.
    """
    uid, gid, _ = _user(text)
    return uid, gid


def step_users(text: str) -> StepUserRange:
    """Return the users of ``20000-20999``, or the one user that ``user`` reads."""
    found = re.fullmatch(r"(\d{1,10})-(\d{1,10})", text.strip())
    if found is None:
        uid, gid, home = _user(text)
        return StepUserRange(uid, gid, 1, home)
    first, last = int(found[1]), int(found[2])
    if not 0 < first < last < 1 << 31 or last - first >= _MOST_USERS:
        raise ValueError(f"{text!r} is not a range of 2 to {_MOST_USERS} user ids, such as 20000-20999")
    return StepUserRange(first, first, last - first + 1)


def _user(text: str) -> tuple[int, int, str]:
    name, _, group = text.strip().partition(":")
    if group and not re.fullmatch(r"\d{1,9}", group):
        raise ValueError(f"{text!r}: the group is not a number")
    try:
        entry = pwd.getpwuid(int(name)) if re.fullmatch(r"\d{1,9}", name) else pwd.getpwnam(name)
        uid, gid, home = entry.pw_uid, entry.pw_gid, entry.pw_dir
    except KeyError:
        if not name.isdecimal():
            raise ValueError(f"{name!r} is not a user of this machine") from None
        uid = gid = int(name)
        home = ""
    gid = int(group) if group else gid
    if not uid or not gid:
        raise ValueError(f"{text!r} is root or in root's group: choose a user without its rights")
    return uid, gid, home
