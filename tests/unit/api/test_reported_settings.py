"""What an administrator reads about the settings of schedulers and workers."""

from services.api.representations.reported_settings_json import SettingsReport, reported_json
from shared.settings.config import load_config
from shared.settings.effective import KnownSetting, known_settings, reported_settings

SECRET = "a value that nobody may read"
KNOWN = {
    "DAGWAY_SLOTS": KnownSetting("8", secret=False, description="how many"),
    "DAGWAY_TOKEN": KnownSetting("", secret=True, description="a secret"),
}


def test_a_process_reports_what_is_set_and_no_secret() -> None:
    environ = {"DAGWAY_AMQP_URL": f"amqp://u:{SECRET}@h", "DAGWAY_WORKER_SLOTS": "3"}

    found = reported_settings(load_config({}, environ), "worker")

    assert found["DAGWAY_AMQP_URL"] == ("", "DAGWAY_AMQP_URL")
    assert found["DAGWAY_WORKER_SLOTS"] == ("3", "DAGWAY_WORKER_SLOTS")
    assert "DAGWAY_LOG_LEVEL" not in found
    assert SECRET not in repr(found)


def test_a_long_value_is_cut_with_a_mark_that_tells_different_ones_apart() -> None:
    def reported(labels: str) -> str:
        return reported_settings(load_config({}, {"DAGWAY_WORKER_LABELS": labels}), "worker")["DAGWAY_WORKER_LABELS"][0]

    whole = ",".join(f"a{number:03}=b" for number in range(71))
    longer = f"{whole},last=1"

    assert reported(whole) == whole
    assert reported(longer).startswith(f"{longer[:500]}… [cut: 503 characters, SHA-256 ")
    assert reported(longer) == reported(longer) != reported(f"{whole},last=2")


def test_every_reported_setting_is_known() -> None:
    known = known_settings()

    assert known["DAGWAY_WORKER_SLOTS"].description
    assert known["DAGWAY_AMQP_URL"].secret
    assert known["DAGWAY_PORT"].default == "8080"


def test_what_differs_comes_first_and_says_who_has_which_value() -> None:
    reports = [
        SettingsReport("w1", {"DAGWAY_A": ("same", "--a"), "DAGWAY_SLOTS": ("2", "DAGWAY_SLOTS")}),
        SettingsReport("w2", {"DAGWAY_A": ("same", "--a")}),
        SettingsReport("old", None),
        SettingsReport("w3", {"DAGWAY_A": ("same", "--a")}),
    ]

    slots, same = reported_json(reports, KNOWN)

    assert (slots["variable"], slots["differs"], slots["default"]) == ("DAGWAY_SLOTS", True, "8")
    assert slots["values"] == [
        {"value": "2", "setBy": "DAGWAY_SLOTS", "count": 1, "processes": ["w1"]},
        {"value": "8", "setBy": "", "count": 2, "processes": ["w2", "w3"]},
    ]
    # A gateway of an earlier version does not know it.
    assert (same["variable"], same["differs"], same["description"]) == ("DAGWAY_A", False, "")
    assert [each["count"] for each in same["values"]] == [3]


def test_the_same_value_from_two_places_is_no_difference() -> None:
    reports = [SettingsReport("w1", {"DAGWAY_SLOTS": ("8", "--slots")}), SettingsReport("w2", {})]

    [found] = reported_json(reports, KNOWN)

    assert not found["differs"]
    assert [each["setBy"] for each in found["values"]] == ["", "--slots"]


def test_of_secrets_only_whether_they_are_set_can_differ() -> None:
    by_file, by_variable = {"DAGWAY_TOKEN": ("", "DAGWAY_TOKEN_FILE")}, {"DAGWAY_TOKEN": ("", "DAGWAY_TOKEN")}

    [set_by_two] = reported_json([SettingsReport("w1", by_file), SettingsReport("w2", by_variable)], KNOWN)
    [set_by_one] = reported_json([SettingsReport("w1", by_file), SettingsReport("w2", {})], KNOWN)

    assert (set_by_two["differs"], set_by_one["differs"]) == (False, True)


def test_many_processes_are_counted_and_some_are_named() -> None:
    reports = [SettingsReport(f"w{number}", {"DAGWAY_SLOTS": ("2", "x")}) for number in range(30)]

    [found] = reported_json(reports, KNOWN)

    [value] = found["values"]
    assert (value["count"], len(value["processes"])) == (30, 20)
