"""The environment, scopes, directories and log files of a step."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from services.worker.inputs.dotenv import parse_dotenv, read_dotenv
from services.worker.inputs.environment import (
    MAX_EXPORT_BYTES,
    Inputs,
    build_environment,
    dag_directory,
    prepare_inputs,
)
from services.worker.inputs.named_files import EVERYTHING, Reach
from services.worker.inputs.secret_provider import SecretMissing
from services.worker.inputs.secret_values import SecretResolver
from services.worker.inputs.workspace import Workspace
from services.worker.output.files import log_paths
from services.worker.process.shells import default_shell, interpreter_words, shell_argv
from services.worker.process.step_users import StepUser
from shared.contracts.tasks import HANDLER, StepRef, Task
from shared.errors import InvalidInput
from shared.language.expansion.expand import Scope, expand, expand_text
from shared.language.model import Secret, Step


def _task(**fields: object) -> Task:
    facts = {"token": "t", "run_key": "k", "node": 3, "dag_name": "d", "dag_run_id": "r"}
    facts |= {"root_dag_name": "d", "root_dag_run_id": "r", "step": Step(name="s")}
    return Task.model_validate({**facts, **fields})


def _inputs(task: Task, folder: Path, **options: Any) -> Inputs:
    return prepare_inputs(task, folder, resolver=SecretResolver(), reach=EVERYTHING, home="", passed=(), **options)


def test_later_sources_win_in_the_process_and_in_expansion(tmp_path: Path) -> None:
    names = "ABCDE"
    task = _task(
        env=tuple((name, "env") for name in names),
        outputs=tuple((name, "output") for name in names[1:]),
        params=tuple((name, "param") for name in names[2:]),
        step=Step(name="s", env=tuple((name, "step") for name in names[3:])),
        engine_env=(("E", "reserved"),),
    )
    environment = build_environment(task, _inputs(task, tmp_path), {}, None)

    assert [environment.process[name] for name in names] == ["env", "output", "param", "step", "reserved"]
    assert expand("$A $B $C $D $E", environment.full) == "env output param step reserved"
    assert expand_text("$A $B $C $D $E", environment.textual) == "$A output param step reserved"


def test_textual_expansion_replaces_only_json_paths_of_variables_the_shell_reads_itself(tmp_path: Path) -> None:
    task = _task(
        env=(("J", '{"k":"v"}'), ("T", "text"), ("O", '{"k":"below"}')),
        outputs=(("O", '{"k":"output"}'),),
        secrets=(Secret(name="S", provider="env", key="PATH"),),
    )
    textual = build_environment(task, _inputs(task, tmp_path), {}, None).textual

    assert expand_text("${J.k} $J.k '${J.k}' ${O.k} ${J.nope}|", textual) == "v v 'v' output |"
    assert expand_text("$J ${J} ${T.k} $T.txt ${S.k} $S ${U.k}", textual) == "$J ${J} ${T.k} $T.txt ${S.k} $S ${U.k}"


def test_step_env_entries_do_not_see_each_other(tmp_path: Path) -> None:
    task = _task(step=Step(name="s", env=(("A", "1"), ("B", "<${A}>"))))

    assert build_environment(task, _inputs(task, tmp_path), {}, None).process["B"] == "<>"


@pytest.mark.parametrize(
    ("name", "fields", "trusted"),
    [
        ("A", {"env": (("A", "author"),)}, True),
        ("A", {"env": (("A", "author"),), "outputs": (("A", "printed"),)}, False),
        ("A", {"env": (("A", "author"),), "params": (("A", "given"),), "params_outside": ("A",)}, False),
        ("A", {"env": (("A", "author"),), "secrets": (Secret(name="A", provider="env", key="PATH"),)}, False),
        ("P", {"params": (("P", "default"),), "params_outside": ()}, True),
        ("P", {"params": (("P", "given"), ("Q", "default")), "params_outside": ("P",)}, False),
        ("Q", {"params": (("P", "given"), ("Q", "default")), "params_outside": ("P",)}, True),
        ("P", {"params": (("P", "of a scheduler that does not say"),), "params_given": True}, False),
        ("P", {"params": (("P", "of a scheduler that does not say"),), "params_given": False}, True),
        ("O", {"outputs": (("O", "printed"),)}, False),
        ("DAG_NAME", {"env": (("DAG_NAME", "author"),)}, False),
        ("DAG_RUN_STEP_NAME", {}, True),
    ],
)
def test_a_variable_is_trusted_if_the_author_wrote_its_value(
    tmp_path: Path, name: str, fields: dict[str, object], trusted: bool
) -> None:
    task = _task(**fields)

    assert (name in build_environment(task, _inputs(task, tmp_path), {}, None).textual.trusted) is trusted


@pytest.mark.parametrize(
    ("text", "trusted"),
    [
        ("written", True),
        ("${AUTHOR}/x", True),
        ("${GIVEN}", False),
        ("a ${PRINTED} b", False),
        ("$SECRET", False),
        ("$DAG_RUN_ID", False),
        ("${earlier.output}", False),
        ("`echo hi`", False),
    ],
)
def test_a_variable_of_the_steps_env_is_trusted_if_all_that_it_is_made_of_is(
    tmp_path: Path, text: str, trusted: bool
) -> None:
    task = _task(
        env=(("AUTHOR", "x"), ("A", "overridden")),
        params=(("GIVEN", "x"),),
        params_outside=("GIVEN",),
        outputs=(("PRINTED", "x"),),
        secrets=(Secret(name="SECRET", provider="env", key="PATH"),),
        refs={"earlier": StepRef(output="x")},
        step=Step(name="s", env=(("A", text),)),
    )

    assert ("A" in build_environment(task, _inputs(task, tmp_path), {}, str).textual.trusted) is trusted


def test_a_missing_secret_can_be_left_out_as_handlers_need_it(tmp_path: Path) -> None:
    secrets = tuple(Secret(name=key, provider="env", key=key) for key in ("PATH", "NOT_SET_ANYWHERE"))
    task = _task(secrets=secrets)

    with pytest.raises(SecretMissing, match="NOT_SET_ANYWHERE"):
        _inputs(task, tmp_path)
    assert _inputs(task, tmp_path, all_secrets=False).secrets == {"PATH": os.environ["PATH"]}


def test_a_step_finds_its_own_logs_before_its_first_attempt_is_reported(tmp_path: Path) -> None:
    reserved = {"DAG_RUN_STEP_STDOUT_FILE": "/own.out", "DAG_RUN_STEP_STDERR_FILE": "/own.err"}

    def logs(**fields: object) -> str:
        task = _task(**{"step": Step(name="s", id="me"), **fields})
        return expand(
            "${me.stdout} ${me.stderr}", build_environment(task, _inputs(task, tmp_path), reserved, None).full
        )

    assert logs() == "/own.out /own.err"
    assert logs(refs={"me": StepRef(stdout="/first.out")}) == "/first.out /first.out"
    assert logs(kind="handler") == " "


def test_a_run_that_was_given_json_passes_it_on(tmp_path: Path) -> None:
    task = _task(params_json='{"a": [1]}')
    process = build_environment(task, _inputs(task, tmp_path), {}, None).process

    assert process["DAG_PARAMS_JSON"] == process["DAGU_PARAMS_JSON"] == '{"a": [1]}'


def test_a_secret_that_no_variable_can_have_is_none(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"to\0ken")
    task = _task(secrets=(Secret(name="T", provider="file", key=str(tmp_path / "token")),))

    with pytest.raises(SecretMissing, match='secret "T": the value has a NUL byte'):
        _inputs(task, tmp_path)


def test_variables_of_the_service_are_hidden_even_from_expansions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGWAY_AMQP_URL", "amqp://guest")
    task = _task(step=Step(name="s", env=(("A", "<${DAGWAY_AMQP_URL}>"),)))
    environment = build_environment(task, _inputs(task, tmp_path), {}, None)

    assert environment.process["A"] == "<>"
    assert "DAGWAY_AMQP_URL" not in environment.process
    with pytest.raises(SecretMissing, match="is not set"):
        _inputs(_task(secrets=(Secret(name="S", provider="env", key="DAGWAY_AMQP_URL"),)), tmp_path)


def test_a_step_sees_where_dagu_is_and_none_of_its_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"DAGU_HOME": "/dagu", "DAGU_DAGS_DIR": "/dags", "DAGU_PORT": "81", "DAGU_TZ": "Asia/Tokyo"}
    for name, value in {**where, "DAGU_AUTH_BASIC_PASSWORD": "hidden", "DAGU_AUTH_TOKEN": "hidden"}.items():
        monkeypatch.setenv(name, value)
    task = _task()
    process = build_environment(task, _inputs(task, tmp_path), {}, None).process

    assert {name: process[name] for name in where} == where
    assert "hidden" not in process.values()


def test_values_too_long_for_an_environment_can_still_be_expanded(tmp_path: Path) -> None:
    long = "x" * (MAX_EXPORT_BYTES + 1)
    task = _task(outputs=(("BIG", long),))
    environment = build_environment(task, _inputs(task, tmp_path), {}, None)

    assert "BIG" not in environment.process
    assert expand_text("$BIG", environment.textual) == long


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0y")])
def test_what_no_process_can_be_given_is_left_out(tmp_path: Path, name: str, value: str) -> None:
    task = _task(outputs=((name, value), ("B", "y")))
    process = build_environment(task, _inputs(task, tmp_path), {}, None).process

    assert name not in process
    assert process["B"] == "y"


def test_a_file_secret_loses_only_its_last_newline(tmp_path: Path) -> None:
    tmp_path.joinpath("key").write_text("a\nb\n\n")
    task = _task(secrets=(Secret(name="S", provider="file", key="key"),))

    assert _inputs(task, tmp_path).secrets == {"S": "a\nb\n"}


def test_dotenv_supports_quotes_comments_and_references() -> None:
    text = '# c\nexport A=1 # one\nB=\'$A\'\nC="x $A\\ny"\nD=${A}2${OUT}\nE=\nbroken line\nF="two\nlines"\n'

    found = parse_dotenv(text, {"OUT": "o"})

    assert found == {"A": "1", "B": "$A", "C": "x 1\ny", "D": "12o", "E": "", "F": "two\nlines"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (r"p@ss$word", "p@ss$word"), (r'"p@ss\$WORD"', "p@ss$WORD"), (r"p@ss\$WORD", "p@ss$WORD"), ("$$a$", "$$a$"),
        ('"$2y$10$abcDEF"', "$2y$10$abcDEF"), ("${low}-$Low-$LOw", "${low}-$Low-$LOw"), (r'"\${UP}\\"', "${UP}\\"),
        ("$UP.b${UP}c", "u.buc"), ("${NO:-d}${NO:-${UP}}", "du"), ("${NO:?gone}", "${NO:?gone}"), ("$UP$NO.", "u."),
        ("#fff", "#fff"), ("# b", "# b"), (" # comment", ""), ("$UP # comment", "u"), (r'"\tC:\\n"', "\tC:\\n"),
    ],
)  # fmt: skip
def test_in_a_dotenv_file_only_a_name_in_capitals_is_a_reference(line: str, value: str) -> None:
    assert parse_dotenv(f"UP=u\nlow=l\nX={line}\n", {"Low": "o"})["X"] == value


@pytest.mark.timeout(20)
def test_a_long_value_in_a_dotenv_file_holds_up_nobody() -> None:
    blanks = " " * 500_000

    assert parse_dotenv("$" * 200_000 + "\nX=" + "${A:-{" * 100_000 + "$A" * 100_000, {}) == {"X": "${A:-{" * 100_000}
    assert parse_dotenv(f"A=x{blanks}y\nB={blanks}# c\nC=a#b #c", {}) == {"A": f"x{blanks}y", "B": "", "C": "a#b"}


def test_a_dotenv_file_whose_values_multiply_each_other_is_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = "".join(f"C{number}=$B\n" for number in range(3))
    (tmp_path / "many").write_text(f"A={'x' * 1_000}\nB={'$A' * 1_000}\n{values}")
    (tmp_path / "few").write_bytes(b"\xef\xbb\xbfD=d\r\n")  # As Windows writes it.

    assert read_dotenv(["many", "few"], [tmp_path], {}, EVERYTHING) == {"D": "d"}
    assert [vars(each)["error"] for each in caplog.records] == ["the expanded text is longer than 2097152 characters"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
def test_a_dotenv_file_of_windows_is_read(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-8-sig" else "\ufeff"
    (tmp_path / ".env").write_bytes(f"{mark}A=ä\r\nB=b\r\n".encode(encoding))

    assert read_dotenv([".env"], [tmp_path], {}, EVERYTHING) == {"A": "ä", "B": "b"}


def test_a_dotenv_file_that_is_too_large_is_not_read_in_part(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=a\n" + "# ....\n" * 200_000 + "PASSWORD=secret\n")

    with pytest.raises(InvalidInput, match=r"/\.env is too large: a dotenv file may have 1048576 characters"):
        read_dotenv([".env"], [tmp_path], {}, EVERYTHING)


def test_a_value_with_a_nul_byte_in_a_dotenv_file_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=a\nPASSWORD=se\0cret\n")

    with pytest.raises(InvalidInput, match=r"/\.env: the value of PASSWORD has a NUL byte, which no variable can have"):
        read_dotenv([".env"], [tmp_path], {}, EVERYTHING)


def test_a_dotenv_file_is_not_skipped_because_the_worker_has_too_many_open_files(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=a\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_fd = os.dup(0)
    os.close(next_fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_fd, limits[1]))
    try:
        with pytest.raises(InvalidInput, match=r"cannot read .*/\.env now: Too many open files"):
            read_dotenv([".env"], [tmp_path], {}, EVERYTHING)
        assert read_dotenv(["none.env"], [tmp_path / "none"], {}, EVERYTHING) == {}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert read_dotenv([".env"], [tmp_path], {}, EVERYTHING) == {"A": "a"}


def test_a_steps_directory_is_relative_to_the_dags_and_that_to_the_runs(tmp_path: Path) -> None:
    task = _task(working_dir="${W}", env=(("W", "dag"),), step=Step(name="s", working_dir="step"))

    assert _inputs(task, tmp_path).working_dir == tmp_path / "dag" / "step"


def test_a_sub_run_works_in_its_callers_directory_only_if_its_steps_may_go_there(tmp_path: Path) -> None:
    (caller := tmp_path / "caller").mkdir(0o700)
    other = Reach(user=StepUser(caller.stat().st_uid + 1, caller.stat().st_gid + 1))
    task = _task(called_from=str(caller))

    def directory(reach: Reach) -> Path:
        return dag_directory(task, tmp_path / "own", Scope(()), reach)

    assert directory(EVERYTHING) == caller
    assert directory(other) == tmp_path / "own"
    caller.rmdir()
    assert directory(EVERYTHING) == tmp_path / "own"


def test_no_name_leads_out_of_the_data_directory_or_onto_another_steps_log(tmp_path: Path) -> None:
    steps = ("a_b", "a b", "a_b-3", "../x", "onExit")
    paths = {log_paths(tmp_path, _task(step=Step(name=name))).stdout for name in steps}
    paths.add(log_paths(tmp_path, _task(kind=HANDLER, step=Step(name="onExit"))).stdout)
    names = {"dag_name": "..", "dag_run_id": "../../etc"}
    evil = Workspace(tmp_path).run_dir(_task(**names, **{f"root_{name}": value for name, value in names.items()}))

    assert len(paths) == 6
    assert all(Path(path).parent == tmp_path / "d/r" for path in paths)
    assert evil == tmp_path / "runs/_/.._.._etc"


def test_sub_runs_of_two_roots_share_no_files_though_they_have_the_same_id(tmp_path: Path) -> None:
    tasks = [_task(dag_name="child", dag_run_id="c", root_dag_name=root, root_dag_run_id="day-1") for root in "ab"]

    assert len({Workspace(tmp_path).run_dir(task) for task in tasks}) == 2
    assert len({log_paths(tmp_path, task).stdout for task in tasks}) == 2


def test_only_shells_that_have_it_get_errexit() -> None:
    assert shell_argv(("bash", "-x"), "true", errexit=True) == ["bash", "-x", "-e", "-c", "true"]
    assert shell_argv(("/bin/fish",), "true", errexit=True) == ["/bin/fish", "-c", "true"]
    assert shell_argv(("nix-shell",), "true", errexit=True, packages=("jq",))[1:] == ["-p", "jq", "--run", "true"]


def test_only_lines_of_a_script_that_begin_with_it_are_options_of_nix_shell() -> None:
    script = "#!/usr/bin/env nix-shell\n#! nix-shell -p jq\n#! nix-shell\n#!\nnix-shell -i python3 other.nix"

    assert interpreter_words("/usr/bin/env nix-shell", script) == ["/usr/bin/env", "nix-shell", "-p", "jq"]


def test_a_default_shell_of_blanks_is_no_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGU_DEFAULT_SHELL", "  ")
    monkeypatch.setenv("SHELL", "/bin/bash -x")
    assert default_shell() == ("/bin/bash", "-x")

    monkeypatch.setenv("SHELL", " ")
    monkeypatch.setenv("PATH", "/bin")
    assert default_shell() == ("/bin/sh",)
    monkeypatch.setenv("PATH", "")
    assert default_shell() == ("sh",)
