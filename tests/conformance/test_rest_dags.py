"""Reading DAGs."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from services.api.settings import Settings
from shared.store.migrate import HEAD
from tests.conformance.rest_stack import CHAIN, Stack, open_stack
from tests.harness.statements import statements


def test_an_empty_list_has_one_page(stack: Stack) -> None:
    assert stack.get("/dags") == {
        "dags": [],
        "errors": [],
        "pagination": {"totalRecords": 0, "currentPage": 1, "totalPages": 1, "nextPage": None, "prevPage": None},
    }


def test_a_listed_dag_has_its_shape_and_a_latest_run_though_it_never_ran(stack: Stack) -> None:
    stack.add_dag("nightly", CHAIN, suspended=True)

    [file] = stack.get("/dags")["dags"]

    assert file == {
        "fileName": "nightly.yaml",
        "dag": {
            "name": "nightly",
            "description": "A chain",
            "params": ["REGION=eu"],
            "defaultParams": 'REGION="eu"',
            "tags": ["etl", "prod"],
            "schedule": [{"expression": "0 2 * * *"}],
            "maxActiveRuns": 1,
            "runConfig": {"disableParamEdit": False, "disableRunIdEdit": False},
        },
        "latestDAGRun": {
            "rootDAGRunName": "",
            "rootDAGRunId": "",
            "dagRunId": "",
            "name": "nightly",
            "status": 0,
            "statusLabel": "not_started",
            "startedAt": "",
            "finishedAt": "",
            "log": "",
            "params": "REGION=eu",
        },
        "suspended": True,
        "errors": [],
    }


def test_names_are_found_in_any_case_and_tags_only_whole(stack: Stack) -> None:
    stack.add_dag("Nightly", CHAIN)
    stack.add_dag("other")

    def names(query: str) -> list[str]:
        return [file["fileName"] for file in stack.get(f"/dags?{query}")["dags"]]

    assert names("name=NIGHT") == ["Nightly.yaml"]
    assert names("tag=PROD") == ["Nightly.yaml"]
    assert names("tag=pro") == []
    assert names("name=&tag=") == ["Nightly.yaml", "other.yaml"]
    assert names("name=night&tag=none") == []


def test_pages_have_null_at_the_edges_and_are_capped(stack: Stack) -> None:
    for letter in "abc":
        stack.add_dag(letter)

    first, beyond = stack.get("/dags?perPage=2"), stack.get("/dags?perPage=1000&page=9")

    assert [file["fileName"] for file in first["dags"]] == ["a.yaml", "b.yaml"]
    assert first["pagination"] == {
        "totalRecords": 3,
        "currentPage": 1,
        "totalPages": 2,
        "nextPage": 2,
        "prevPage": None,
    }
    assert beyond["dags"] == []
    assert (beyond["pagination"]["currentPage"], beyond["pagination"]["totalPages"]) == (9, 1)
    assert stack.get("/dags?page=0&perPage=0")["pagination"]["currentPage"] == 1


def test_tags_are_distinct_and_sorted(stack: Stack) -> None:
    stack.add_dag("a", CHAIN)
    stack.add_dag("b", "tags: prod, a\nsteps: [echo hi]\n")

    assert stack.get("/dags/tags") == {"tags": ["a", "etl", "prod"], "errors": []}

    stack.add_dag("broken", "steps: [")
    [error] = stack.get("/dags/tags")["errors"]
    assert error.startswith("broken: ")


def test_a_dag_is_the_same_with_and_without_its_extension(stack: Stack) -> None:
    stack.add_dag("nightly", CHAIN)

    found = stack.get("/dags/nightly")

    assert stack.get("/dags/nightly.yaml") == stack.get("/dags/nightly.yml") == found
    assert set(found) == {"dag", "localDags", "latestDAGRun", "specHash", "suspended", "errors", "paused"}
    assert found["dag"]["histRetentionDays"] == 30
    assert [step["name"] for step in found["dag"]["steps"]] == ["pull", "a/b c"]
    assert found["dag"]["steps"][1]["depends"] == ["pull"]
    assert found["dag"]["steps"][0]["output"] == "ROW_COUNT"
    assert found["dag"]["steps"][0]["executorConfig"] == {"config": {}}
    assert found["dag"]["steps"][0]["commands"] == [{"command": "echo", "args": ["one"]}]
    assert set(found["dag"]["handlerOn"]) == {"exit"}
    latest = found["latestDAGRun"]
    assert (latest["status"], [node["startedAt"] for node in latest["nodes"]]) == (0, ["-", "-"])
    assert latest["onExit"]["step"]["name"] == "onExit"


def test_an_unknown_dag_is_a_404(stack: Stack) -> None:
    for path in ("/dags/none", "/dags/none/spec", "/dags/none.yaml", "/dags/none/dag-runs/latest"):
        response = stack.api("GET", path)
        assert (response.status_code, response.get_json()["code"]) == (404, "not_found")


def test_before_the_migration_requests_are_answered_by_503(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    with stack.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE dags RENAME TO not_yet")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")

    response = stack.api("GET", "/dags")

    assert (response.status_code, response.get_json()["code"]) == (503, "service_unavailable")
    assert f"schema is at 0000, this version needs {HEAD}" in response.get_json()["message"]
    assert response.headers["Retry-After"]
    said = [record.message for record in caplog.records if record.name.startswith("services.api")]
    assert said == ["request.unavailable"]


def test_a_broken_dag_is_shown_with_its_errors(stack: Stack) -> None:
    stack.add_dag("broken", "steps:\n  - name: a\n    command: echo\n    depends: nobody\n")

    found = stack.get("/dags/broken")

    assert found["dag"]["name"] == "broken"
    assert found["errors"]
    assert stack.get("/dags")["dags"][0]["errors"] == found["errors"]


def test_searching_finds_lines_of_steps_that_are_wrong_too(stack: Stack) -> None:
    stack.add_dag("step", "steps:\n  - name: a\n    command: echo needle\n    depends: nobody\n")
    stack.add_dag("field", "needle: 1\nsteps: [echo hi]\n")
    stack.add_dag("text", "steps: [\n# needle")

    found = stack.get("/dags/search?q=needle")

    assert [each["name"] for each in found["results"]] == ["step"]
    assert [each.split(":")[0] for each in found["errors"]] == ["field", "text"]
    for pattern in ("[[:alpha:]]eedle", r"needle\z", "c.*m.*n.*d.*n.*d.*e"):
        found = stack.get("/dags/search", query_string={"q": pattern})
        assert [each["name"] for each in found["results"]] == ["step"]


def test_a_search_has_few_specs_in_memory_at_a_time(stack: Stack) -> None:
    for number in range(120):
        stack.add_dag(f"d{number:03}", f"steps: [echo {'needle' if number in {7, 119} else 'hay'} {number}]\n")

    with statements(Engine) as sent:
        found = stack.get("/dags/search?q=needle")

    assert [each["name"] for each in found["results"]] == ["d007", "d119"]
    assert [each.count("?") for each in sent if "specs.yaml" in each] == [50, 50, 20]


@pytest.mark.parametrize("pattern", ["a?" * 60 + "a" * 41, "(a|a)" * 39 + "b", "(.*a){12}b", "(?:a*)*b"])
def test_a_search_takes_linear_time_for_every_pattern(stack: Stack, pattern: str) -> None:
    stack.add_dag("step", f"steps:\n  - echo {'a' * 40}\n")

    assert stack.get("/dags/search", query_string={"q": pattern}) == {"results": [], "errors": []}


def test_patterns_can_have_repetitions_and_alternatives(stack: Stack) -> None:
    stack.add_dag("step", "steps:\n  - echo ABCabczz\n")

    for pattern in ("(abc)+|zz", "e.*o.*a.*b.*c", r"\bECHO\b"):
        [result] = stack.get("/dags/search", query_string={"q": pattern})["results"]
        assert [each["lineNumber"] for each in result["matches"]] == [2], pattern


def test_an_invalid_pattern_is_searched_for_as_plain_text_with_an_error(stack: Stack) -> None:
    stack.add_dag("step", "steps:\n  - test [X\n")

    found = stack.get("/dags/search", query_string={"q": "[x"})

    assert [each["name"] for each in found["results"]] == ["step"]
    assert found["errors"] == ["Searched for as plain text: not a valid regular expression (missing ]: [x)"]


def test_the_spec_is_the_text_as_it_was_given(stack: Stack) -> None:
    stack.add_dag("nightly", CHAIN)

    found = stack.get("/dags/nightly/spec")

    assert found["spec"] == CHAIN
    assert found["dag"]["name"] == "nightly"
    assert found["errors"] == []


def test_a_retention_that_a_text_does_not_give_is_shown_in_details_only(stack: Stack) -> None:
    limits = {"histRetentionDays": 30, "maxActiveRuns": 1}
    given = "histRetentionDays: 30\nmaxActiveRuns: 1\nsteps: [echo hi]\n"
    for name, spec, written in (("plain", "steps: [echo hi]\n", {"maxActiveRuns": 1}), ("given", given, limits)):
        stack.add_dag(name, spec)
        details, text = stack.get(f"/dags/{name}")["dag"], stack.get(f"/dags/{name}/spec")["dag"]
        validated = stack.api("POST", "/dags/validate", json={"spec": spec}).get_json()["dag"]
        assert details.items() >= limits.items()
        for shown in (text, validated):
            assert {key: shown[key] for key in limits if key in shown} == written
            assert shown["steps"] == details["steps"]


def test_forms_get_the_schema_of_the_parameters_from_the_spec_or_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "fits.json").write_text('{"properties": {"n": {"minimum": 1}}}')
    (folder / "list.json").write_text("[1]")
    (folder / "huge.json").write_text(json.dumps({"title": "x" * 70_000}))
    (tmp_path / "outside.json").write_text("{}")
    (folder / "link.json").symlink_to(tmp_path / "outside.json")
    schemas = {
        "{properties: {n: {maximum: 9}}}": {"properties": {"n": {"maximum": 9}}},
        "fits.json": {"properties": {"n": {"minimum": 1}}},
        **dict.fromkeys(("list.json", "huge.json", "link.json", "../outside.json", "/etc/hostname", "none.json"), None),
        "http://127.0.0.1:9/s.json": None,
    }
    with open_stack(tmp_path, settings=Settings(dags_dir=folder)) as stack:
        for number, (written, expected) in enumerate(schemas.items()):
            stack.add_dag(f"d{number}", f"params: {{schema: {written}}}\nsteps: [echo hi]\n")
            assert stack.get(f"/dags/d{number}")["dag"].get("paramSchema") == expected, written


def test_a_command_without_arguments_has_an_empty_list_of_them(stack: Stack) -> None:
    stack.add_dag("a", "steps:\n  - command: 'true'\n  - command: echo one two\n")

    steps = stack.get("/dags/a")["dag"]["steps"]

    assert [each["commands"] for each in steps] == [
        [{"command": "true", "args": []}],
        [{"command": "echo", "args": ["one", "two"]}],
    ]


def test_a_faulty_dag_shows_its_steps_and_no_invalid_schedule(stack: Stack) -> None:
    stack.add_dag("a", """
schedule: ["0 1 * * *", often]
type: graph
steps:
  - {name: one, id: first, command: echo, depends: nobody}
  - {name: two, command: echo, depends: [first, nobody]}
""")  # fmt: skip

    shown = stack.get("/dags/a")

    assert len(shown["errors"]) == 3
    assert [step["depends"] for step in shown["dag"]["steps"]] == [["nobody"], ["one", "nobody"]]
    assert "schedule" not in shown["dag"]
    assert "schedule" not in stack.get("/dags")["dags"][0]["dag"]


def test_a_command_is_shown_as_it_is_written(stack: Stack) -> None:
    commands = [
        """test $(wc -l < "$F x") -ge 3; echo 'WARN: old';""",
        r"""env K="v w" "a \"b\"" '' | tee 'x y'|wc""",
        """echo it's "open | end""",
        """echo "said $(cat "$F")" """,
    ]
    stack.add_dag("a", "steps:\n" + "".join(f"  - {json.dumps(each)}\n" for each in commands))

    steps = stack.get("/dags/a")["dag"]["steps"]

    assert [each["commands"][0]["args"] for each in steps] == [
        ["$(wc", "-l", "<", '"$F x")', "-ge", "3;", "echo", "'WARN: old';"],
        ['K="v w"', 'a "b"', "", "|", "tee", "x y", "|", "wc"],
        ["it's \"open | end"],
        ['said $(cat "$F")'],
    ]


def test_validation_returns_all_problems_and_stores_nothing(stack: Stack) -> None:
    def validate(**body: str) -> dict[str, object]:
        response = stack.api("POST", "/dags/validate", json=body)
        assert response.status_code == 200
        found: dict[str, object] = response.get_json()
        return found

    good, broken = validate(spec=CHAIN), validate(spec="steps: [")
    assert (good["valid"], good["errors"]) == (True, [])
    assert broken["valid"] is False
    assert broken["errors"]
    assert broken["dag"] == {"name": "validated-dag"}
    assert validate(spec=CHAIN, name="not a name")["valid"] is False
    assert validate(spec=CHAIN)["dag"]["name"] == "validated-dag"  # type: ignore[index]
    assert validate(spec=CHAIN, name="mine")["dag"]["name"] == "mine"  # type: ignore[index]
    assert validate(spec=f"name: own\n{CHAIN}", name="mine")["dag"]["name"] == "own"  # type: ignore[index]
    assert validate(spec=CHAIN)["nextFires"] == [f"2025-11-{day}T02:00:00Z" for day in range(25, 30)]
    assert broken["nextFires"] == []
    # Parsed, a spec can take 200 times the memory of its text.
    assert len(stack.deps.specs) == 0
    assert stack.seen == []
