from services.api.caches.ended_details import EndedDetails

NAME, VERSION = ("etl", "r1"), ("key", 3)


def test_json_is_kept_for_one_version_of_a_run() -> None:
    runs = EndedDetails()
    runs.keep(NAME, VERSION, b"{}")

    assert runs.json(NAME, lambda: VERSION) == b"{}"
    assert runs.json(NAME, lambda: ("key", 4)) is None
    # The older JSON is gone, so the next request reads no version.
    assert runs.json(NAME, unread) is None
    assert len(runs) == 0


def test_a_deleted_run_and_another_one_of_its_name_have_none() -> None:
    runs = EndedDetails()
    runs.keep(NAME, VERSION, b"{}")
    assert runs.json(NAME, lambda: None) is None
    runs.keep(NAME, VERSION, b"{}")
    assert runs.json(NAME, lambda: ("other", 3)) is None


def test_the_version_is_read_only_for_a_run_whose_json_is_kept() -> None:
    assert EndedDetails().json(NAME, unread) is None


def test_json_made_while_the_version_was_read_stays() -> None:
    runs = EndedDetails()
    runs.keep(NAME, VERSION, b"old")

    def meanwhile() -> tuple[str, int]:
        runs.keep(NAME, ("key", 4), b"new")
        return ("key", 4)

    assert runs.json(NAME, meanwhile) is None
    assert runs.json(NAME, lambda: ("key", 4)) == b"new"


def test_the_room_is_bounded_and_what_was_asked_for_last_stays() -> None:
    runs = EndedDetails(room_bytes=100)
    for number in range(10):
        runs.keep(("etl", str(number)), VERSION, b"x" * 30)
        assert runs.json(("etl", "0"), lambda: VERSION)
        assert len(runs) <= 3
    assert [number for number in range(10) if runs.json(("etl", str(number)), lambda: VERSION)] == [0, 8, 9]

    runs.keep(("etl", "large"), VERSION, b"x" * 51)
    assert runs.json(("etl", "large"), unread) is None
    runs.keep(("etl", "0"), VERSION, b"y")
    assert runs.json(("etl", "0"), lambda: VERSION) == b"y"
    # What the shorter JSON no longer takes is free.
    runs.keep(("etl", "10"), VERSION, b"x" * 39)
    assert len(runs) == 4


def unread() -> tuple[str, int]:
    raise AssertionError("the version was read")
