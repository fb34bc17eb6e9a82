"""The types of step that a worker names in its heartbeats are looked for every 30 s, not for each heartbeat."""

import errno

import pytest

from services.worker.executors.capabilities import InstalledTypes, available_types


def test_a_program_that_is_installed_later_is_found_within_30_s() -> None:
    now_s, looks = [100.0], []
    installed = [("command",), ("command", "docker")]

    def look() -> tuple[str, ...]:
        looks.append(now_s[0])
        return installed[len(looks) - 1]

    types = InstalledTypes(look, lambda: now_s[0])

    assert types() == ("command",)
    now_s[0] = 129.9
    assert types() == ("command",)
    now_s[0] = 130.0
    assert types() == ("command", "docker")
    assert looks == [100.0, 130.0]


def test_a_look_that_fails_ends_no_worker_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Python opens the folder in which a package was just installed, which fails with too many open files."""
    now_s, found = 0.0, ["command"]

    def look() -> tuple[str, ...]:
        if now_s == 30:
            raise OSError(errno.EMFILE, "Too many open files")
        return tuple(found)

    types = InstalledTypes(look, lambda: now_s)

    assert types() == ("command",)
    found.append("docker")
    now_s = 30.0
    assert types() == ("command",)
    assert vars(caplog.records[-1])["error"] == "[Errno 24] Too many open files"
    now_s = 60.0
    assert types() == ("command", "docker")


def test_it_finds_what_is_installed_here() -> None:
    assert InstalledTypes(available_types)() == available_types()
