import pytest

from services.api.problems import Problem
from services.api.requests import checked_values


@pytest.mark.parametrize("text", ["a", "a.yaml", "a.yml"])
def test_a_file_is_found_with_and_without_its_extension(text: str) -> None:
    assert checked_values.file_name(text) == "a"


@pytest.mark.parametrize("text", ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", "a\nb", ".yaml", "...yaml"])
def test_a_name_that_could_leave_its_folder_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        checked_values.file_name(text)

    assert (caught.value.status, caught.value.code) == (400, "bad_request")
    assert "fileName" in caught.value.message


@pytest.mark.parametrize("text", ["deploy-v1.2.3", "20240101_120000", "a" * 64])
def test_run_ids_may_hold_dots_and_underscores(text: str) -> None:
    assert checked_values.run_id(text) == text


@pytest.mark.parametrize("text", ["", "a b", "latest", "..", "a/b", "a" * 65, "é"])
def test_other_run_ids_are_refused(text: str) -> None:
    with pytest.raises(Problem, match="dagRunId"):
        checked_values.run_id(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1h30m", 5400),
        ("48h30m", 174_600),
        ("2000m", 120_000),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("1m2s3ms4us5ns", 62.003004005),
        ("5m1h", 3900),
        ("9" * 400 + "h", float("inf")),
        *((text, None) for text in ("", "1", "h", "1d", "1h ", "-1h", "1..5s", ".s", "\u0663s", "1h30")),
    ],
)
def test_durations_are_written_as_in_go(text: str, seconds: float | None) -> None:
    assert checked_values.duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("text", ["a b", "a" * 41, "..", "a/b"])
def test_invalid_dag_names_are_refused(text: str) -> None:
    with pytest.raises(Problem, match="newFileName"):
        checked_values.dag_name(text, "newFileName")
