"""Archives that would write outside of their destination, or grow without limit."""

import io
import tarfile
from collections.abc import Callable

__all__ = ["HOSTILE_ARCHIVES", "file", "link"]

_LONG = "d" * 247
"""Sixteen of these make a path that is longer than the kernel resolves at once."""
_STEPS = "abcdefghijklmnop"


def folder(tar: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(info)


def link(tar: tarfile.TarFile, name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    tar.addfile(info)


def file(tar: tarfile.TarFile, name: str, data: bytes = b"written", **pax: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.pax_headers = len(data), pax
    tar.addfile(info, io.BytesIO(data))


def long_chain(tar: tarfile.TarFile) -> str:
    """Make the links of CVE-2025-4517, whose target older Pythons cannot resolve. Returns one that leads outside."""
    path = ""
    for step in _STEPS:
        folder(tar, f"{path}{_LONG}")
        link(tar, f"{path}{step}", _LONG)
        path += f"{_LONG}/"
    back = "/".join(_STEPS) + "/" + "l" * 254
    link(tar, back, "../" * len(_STEPS))
    link(tar, "escape", f"{back}/..")
    return "escape"


def chain_to_a_file(tar: tarfile.TarFile) -> None:
    file(tar, f"{long_chain(tar)}/written")


def chain_to_a_hard_link(tar: tarfile.TarFile) -> None:
    link(tar, "victim-2", f"{long_chain(tar)}/victim", tarfile.LNKTYPE)
    file(tar, "victim-2")


def link_that_a_later_member_turns(tar: tarfile.TarFile) -> None:
    folder(tar, "d")
    link(tar, "escape", "d/here/../..")
    link(tar, "d/here", ".")


def hard_link_that_lifts_a_link(tar: tarfile.TarFile) -> None:
    folder(tar, "a/b")
    link(tar, "a/b/l", "../../x")
    link(tar, "l", "a/b/l", tarfile.LNKTYPE)


def hard_link_up(tar: tarfile.TarFile) -> None:
    link(tar, "got", "../victim", tarfile.LNKTYPE)


def hard_link_through_a_link(tar: tarfile.TarFile) -> None:
    link(tar, "got", "existing/victim", tarfile.LNKTYPE)


def file_through_a_link(tar: tarfile.TarFile) -> None:
    file(tar, "existing/victim")


def folder_through_a_link(tar: tarfile.TarFile) -> None:
    folder(tar, "existing/made")


def pipe(tar: tarfile.TarFile) -> None:
    link(tar, "pipe", "", tarfile.FIFOTYPE)


def deep_tree(tar: tarfile.TarFile) -> None:
    file(tar, "d/" * 300 + "x")


def many_members(tar: tarfile.TarFile) -> None:
    for number in range(101):
        folder(tar, str(number))


def large_file(tar: tarfile.TarFile) -> None:
    file(tar, "x", bytes(2 << 20))


def large_skipped_file(tar: tarfile.TarFile) -> None:
    file(tar, "skipped", bytes(2 << 20))


def large_header(tar: tarfile.TarFile) -> None:
    file(tar, "x", comment="x" * (2 << 20))


def sparse_file(tar: tarfile.TarFile) -> None:
    file(tar, "x", b"x", **{"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40)})


HOSTILE_ARCHIVES: dict[Callable[[tarfile.TarFile], None], str] = {
    chain_to_a_file: "is a link",
    chain_to_a_hard_link: "is a link",
    link_that_a_later_member_turns: "is a link to 'd/here/../..'",
    hard_link_that_lifts_a_link: "not a regular file",
    hard_link_up: "outside the destination",
    hard_link_through_a_link: "its folder 'existing' is a link",
    file_through_a_link: "its folder 'existing' is a link",
    folder_through_a_link: "its folder 'existing' is a link",
    pipe: "a device or a pipe",
    deep_tree: "more than 256 folders deep",
    many_members: "more than 100 members: set maxEntries",
    large_file: "more than 1048576 bytes: set maxBytes",
    large_skipped_file: "more than 1048576 bytes: set maxBytes",
    large_header: "more than 1048576 bytes: set maxBytes",
    sparse_file: "more than 1048576 bytes: set maxBytes",
}
"""What makes each archive, and the error of the step that extracts it with at most 100 members and 1 MiB."""
