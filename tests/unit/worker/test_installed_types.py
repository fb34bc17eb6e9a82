"""The types of step that a worker names in its heartbeats are looked for every 30 s, not for each heartbeat."""

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


def test_it_finds_what_is_installed_here() -> None:
    assert InstalledTypes(available_types)() == available_types()
