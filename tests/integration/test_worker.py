"""One worker on the embedded transport with real processes: what it runs, reports and refuses."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from shared.contracts.control import RootRunsEnded, TaskQueueOpened
from shared.contracts.events import AttemptFinished, AttemptGivenUp, AttemptRequested, AttemptStarted, Heartbeat
from shared.contracts.tasks import StepRef
from shared.errors import PublishUnconfirmed
from shared.language.model import Condition, Output, Secret
from shared.transport.base import HEARTBEATS, Outgoing, task_queue, worker_queue
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.worker_rig import Rig, command, script, task


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


def test_a_command_is_reported_as_started_and_finished_and_a_short_output_is_in_the_report(rig: Rig) -> None:
    rig.give(task(command("echo hi; echo oops >&2"), token="t1"))

    finished = rig.finished("t1")

    assert [type(event) for event in rig.events("t1")] == [AttemptStarted, AttemptFinished]
    assert (finished.outcome, finished.exit_code, finished.error) == ("succeeded", 0, "")
    assert rig.log(finished, "stdout") == b"hi\n"
    assert rig.log(finished, "stderr") == b"oops\n"
    assert rig.events("t1")[0].worker_id == "w1"
    eventually(lambda: rig.worker.attempts.tokens() == ())


def test_a_failure_reports_its_exit_code_and_the_end_of_stderr(rig: Rig) -> None:
    finished = rig.run(task(command("echo bad news >&2; exit 3")))

    assert (finished.outcome, finished.exit_code) == ("failed", 3)
    assert finished.error == 'failed to execute step "s": exit status 3\nrecent stderr (tail):\nbad news'


def test_a_list_of_commands_stops_at_the_first_failure_and_says_which(rig: Rig) -> None:
    finished = rig.run(task(command("echo a", "exit 3", "echo c")))

    assert finished.exit_code == 3
    assert "command 2 failed: exit status 3" in finished.error
    assert rig.log(finished, "stdout") == b"a\n"


def test_errexit_is_added_unless_the_step_names_its_shell(rig: Rig) -> None:
    with_default = rig.run(task(script("false\necho x")))
    with_own = rig.run(task(script("false\necho x", shell=("bash",))))

    assert with_default.outcome == "failed"
    assert with_own.outcome == "succeeded"


def test_a_shebang_chooses_the_interpreter_and_the_script_file_is_removed(rig: Rig) -> None:
    text = "#!/usr/bin/env python3\nimport os, sys\nprint(1 + 1, os.path.basename(sys.argv[0])[:11])"
    finished = rig.run(task(script(text)))

    assert rig.log(finished, "stdout") == b"2 dagu_script\n"
    assert list(rig.path.rglob("dagu_script-*")) == []


def test_a_program_given_with_a_script_reads_the_script(rig: Rig) -> None:
    finished = rig.run(task(script("import sys; print(len(sys.argv))", command="python3 -u")))

    assert rig.log(finished, "stdout") == b"1\n"


def test_without_a_shell_nothing_is_interpreted(rig: Rig) -> None:
    step = command("echo $HOME *", shell=("direct",), argv=("printf", "%s|", "${P}", "*", "$(x)"))
    finished = rig.run(task(step, params=(("P", "a b"),)))

    assert rig.log(finished, "stdout") == b"a b|*|$(x)|"


def test_without_a_shell_an_unset_variable_is_left_to_the_program(rig: Rig) -> None:
    step = command("awk", shell=("direct",), argv=("awk", 'BEGIN { $0 = "a b"; print $2, $NF, "${NO:-d} ${NO.x} $P" }'))
    finished = rig.run(task(step, params=(("P", "p"),)))

    assert rig.log(finished, "stdout") == b"b b d ${NO.x} p\n"


def test_a_program_that_does_not_exist_makes_the_attempt_broken(rig: Rig) -> None:
    finished = rig.run(task(command("no-such-program", shell=("direct",), argv=("no-such-program",))))

    assert (finished.outcome, finished.exit_code) == ("broken", 1)
    assert "No such file" in finished.error


def test_a_program_is_looked_for_in_every_folder_of_the_steps_path(rig: Rig, tmp_path: Path) -> None:
    for folder, mode in (("text", 0o644), ("program", 0o755)):
        path = tmp_path / folder / "tool"
        path.parent.mkdir()
        path.write_text("#!/bin/sh\necho found\n")
        path.chmod(mode)
    step = command("tool", shell=("direct",), argv=("tool",))
    found = rig.run(task(step, env=(("PATH", f"{tmp_path}/none:{tmp_path}/text:{tmp_path}/program"),)))
    denied = rig.run(task(step, env=(("PATH", f"{tmp_path}/none:{tmp_path}/text"),)))

    assert rig.log(found, "stdout") == b"found\n"
    assert (denied.outcome, denied.exit_code) == ("broken", 1)
    assert "Permission denied" in denied.error


def test_the_exit_code_after_a_signal_is_minus_one(rig: Rig) -> None:
    finished = rig.run(task(command("kill -9 $$")))

    assert (finished.outcome, finished.exit_code) == ("failed", -1)
    assert "signal: killed" in finished.error


def test_the_environment_has_the_documented_precedence_and_nothing_of_the_service(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGWAY_AMQP_URL", "amqp://secret")
    monkeypatch.setenv("NOT_ALLOWED", "x")
    rig.work_dir().joinpath(".env").write_text("B=dotenv\nC=dotenv\n")
    step = command("echo $A $B $C $D $E; env | grep -c -e AMQP -e NOT_ALLOWED", env=(("E", "step ${D}"),))
    finished = rig.run(
        task(
            step,
            env=(("A", "env"), ("B", "env")),
            outputs=(("C", "output"), ("D", "output")),
            params=(("D", "param"), ("E", "param")),
            dotenv=(".env",),
        )
    )

    assert rig.log(finished, "stdout") == b"env dotenv output param step param\n0\n"


def test_reserved_variables_name_the_run_and_the_step(rig: Rig) -> None:
    finished = rig.run(
        task(
            command(
                'echo $DAG_NAME $DAG_RUN_ID $DAG_RUN_STEP_NAME; test "$PWD" = "$(pwd -P)"; '
                'test -s "$DAG_RUN_STEP_STDOUT_FILE"; test -s "$DAG_RUN_LOG_FILE"; echo "$DAGU_PARAMS_JSON"'
            ),
            params=(("K", "v"),),
            params_json='{"K":"v"}',
        )
    )

    assert finished.outcome == "succeeded", finished.error
    assert rig.log(finished, "stdout") == b'd r1 s\n{"K":"v"}\n'


def test_references_to_other_steps_are_replaced(rig: Rig) -> None:
    refs = {"a": StepRef(exit_code=4, stdout="/tmp/a.out", output="42")}
    finished = rig.run(task(command("echo ${a.stdout} ${a.exit_code} ${a.output}"), refs=refs))

    assert rig.log(finished, "stdout") == b"/tmp/a.out 4 42\n"


def test_a_step_that_has_not_run_has_exit_code_0_and_a_step_knows_its_own_log_files(rig: Rig) -> None:
    texts = "echo ${later.exit_code} ${me.exit_code} '${later.stdout}'", "head -n 1 ${me.stdout}; echo ${me.stderr}"
    finished = rig.run(task(command(*texts, id="me"), refs={"me": StepRef(), "later": StepRef()}))
    first, again, err = rig.log(finished, "stdout").decode().splitlines()

    assert first == again == "0 0 ${later.stdout}"
    assert Path(err).is_absolute()
    assert err.endswith(".err")
    merged = rig.run(task(command("echo ${me.stdout} ${me.stderr}", id="me"), log_output="merged"))
    out, err = rig.log(merged, "stdout").decode().split()
    assert out == err
    assert out.endswith(".log")


def test_output_is_captured_trimmed_and_from_stdout_alone(rig: Rig) -> None:
    step = command("printf '  a\\nb \\n'; echo noise >&2", output=Output(name="O"))

    assert rig.run(task(step)).outputs == {"O": "a\nb"}
    assert rig.run(task(step, log_output="merged")).outputs == {"O": "a\nb"}


def test_output_over_the_limit_fails_the_step(rig: Rig) -> None:
    finished = rig.run(task(command("printf 12345678901", output=Output(name="O")), max_output_bytes=10))

    assert finished.outcome == "failed"
    assert finished.error == "failed to capture output: output exceeded maximum size limit of 10 bytes"
    assert finished.outputs == {}


def test_the_end_report_of_a_short_log_carries_all_of_it(rig: Rig, tmp_path: Path) -> None:
    go = tmp_path / "go"
    rig.give(task(command(f"echo one; until test -e {go}; do sleep 0.02; done; echo two"), token="short"))
    eventually(lambda: any(chunk.data == b"one\n" for chunk in rig.logs("short")))
    go.touch()

    assert [chunk.data for chunk in rig.finished("short").logs] == [b"one\n", b"two\n"]


def test_merged_logs_are_one_stream_in_order(rig: Rig) -> None:
    finished = rig.run(task(command("echo 1; echo 2 >&2; echo 3"), log_output="merged"))

    assert rig.log(finished, "stdout") == b"1\n2\n3\n"
    assert rig.log(finished, "stderr") == b""


def test_a_step_that_opens_its_stdout_by_name_does_not_truncate_its_log(rig: Rig) -> None:
    finished = rig.run(task(command("echo 1; echo 2 > /dev/stdout; echo 3; echo 4 > /dev/stderr")))

    assert rig.log(finished, "stdout") == b"1\n2\n3\n"
    assert rig.log(finished, "stderr") == b"4\n"


def test_binary_output_arrives_byte_for_byte(rig: Rig) -> None:
    everything = bytes(range(256)) * 8
    rig.work_dir().joinpath("blob").write_bytes(everything)

    assert rig.log(rig.run(task(command("cat blob"))), "stdout") == everything


def test_copies_of_the_streams_are_appended_and_masked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", "hunter2")
    made = task(
        command('echo "pass $T ok"; echo "$T" >&2; exit 1', stdout="sub/${P}.txt"),
        params=(("P", "out"),),
        secrets=(Secret(name="T", provider="env", key="THE_SECRET"),),
    )

    first, _ = rig.run(made), rig.run(made)

    assert rig.log(first, "stdout") == b"pass ******* ok\n"
    assert "hunter2" not in first.error
    assert "*******" in first.error
    assert rig.work_dir().joinpath("sub/out.txt").read_bytes() == b"pass ******* ok\n" * 2


def test_a_path_of_a_copy_uses_the_env_of_the_step_which_is_evaluated_once(rig: Rig) -> None:
    env = (("N", "`echo x >> evaluated; wc -l < evaluated`"),)
    finished = rig.run(task(command("echo $N", stdout="copy-${N}.txt", env=env)))

    assert rig.log(finished, "stdout") == b"1\n"
    assert rig.work_dir().joinpath("copy-1.txt").read_bytes() == b"1\n"


def test_a_missing_secret_breaks_the_attempt_before_anything_runs(rig: Rig) -> None:
    finished = rig.run(task(command("touch ran"), secrets=(Secret(name="T", provider="env", key="NOPE_X"),)))

    assert finished.outcome == "broken"
    assert 'environment variable "NOPE_X" is not set' in finished.error
    assert not rig.work_dir().joinpath("ran").exists()


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        (Condition(condition="test -f here"), True),
        (Condition(condition="test -f there"), False),
        (Condition(condition="test -f there", negate=True), True),
        (Condition(condition="${P}", expected="prod"), True),
        (Condition(condition="`echo 7`", expected="re:^[0-9]$"), True),
        (Condition(condition="${P}", expected="dev"), False),
        (Condition(condition="`exit 1`", expected="x"), False),
    ],
)
def test_a_step_runs_only_if_its_conditions_are_met(rig: Rig, condition: Condition, met: bool) -> None:
    rig.work_dir().joinpath("here").touch()
    finished = rig.run(task(command("echo ran", preconditions=(condition,)), params=(("P", "prod"),)))

    assert finished.outcome == ("succeeded" if met else "skipped")


class Unsure(EmbeddedTransport):
    """Stores the first start report without a confirm, as a broker that is killed before the confirm."""

    def send(self, message: Outgoing) -> "Future[None]":
        accepted = super().send(message)
        if not message.message_id.endswith(AttemptStarted.type) or self.said:
            return accepted
        accepted.result(PATIENCE_S)
        self.said = True
        unconfirmed: Future[None] = Future()
        unconfirmed.set_exception(PublishUnconfirmed("nobody knows"))
        return unconfirmed

    said = False


def test_an_attempt_whose_start_report_may_be_lost_is_reported_as_given_up(tmp_path: Path) -> None:
    with Rig(tmp_path, transport=Unsure(None)) as rig:
        rig.give(task(command("touch ran"), token="doubtful"))
        told = [AttemptStarted, AttemptGivenUp]
        eventually(lambda: [type(event) for event in rig.events("doubtful")] == told)
        eventually(lambda: rig.worker.attempts.tokens() == ())

        assert rig.run(task(command("true"))).outcome == "succeeded"
        assert not rig.work_dir().joinpath("ran").exists()


def test_fifty_steps_run_at_once(rig: Rig, tmp_path: Path) -> None:
    tokens = [f"p{number}" for number in range(50)]
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    # Each waits at the gate, which opens when all are there: it ends only if they really run at once.
    wait = 'touch "at.$N"; : < "$GATE"'
    for token in tokens:
        rig.give(task(command(wait), token=token, params=(("N", token), ("GATE", str(gate)))))
    eventually(lambda: len(list(rig.work_dir().glob("at.*"))) == len(tokens))
    with gate.open("w"):
        assert {rig.finished(token).outcome for token in tokens} == {"succeeded"}


def test_tasks_beyond_the_slots_wait_at_the_broker(tmp_path: Path) -> None:
    with Rig(tmp_path, slots=1) as rig:
        rig.give(task(command("while [ ! -e go ]; do sleep 0.02; done"), token="first"))
        rig.started("first")
        rig.give(task(command("true"), token="second"), worker_queue("w1"))
        rig.give(task(command("true"), token="third"))
        assert rig.worker.attempts.tokens() == ("first",)
        rig.work_dir().joinpath("go").touch()

        assert [rig.finished(token).outcome for token in ("first", "second", "third")] == ["succeeded"] * 3
        assert not [event for event in rig.seen if isinstance(event, AttemptRequested)]


def test_a_worker_takes_tasks_of_selectors_its_labels_satisfy_and_remembers_them(tmp_path: Path) -> None:
    selector = {"gpu": "true"}
    with Rig(tmp_path, labels={"gpu": "true", "region": "eu"}) as rig:
        rig.transport.declare([task_queue(selector)])
        rig.broadcast("workers", TaskQueueOpened(selector={"gpu": "false"}))
        rig.broadcast("workers", TaskQueueOpened(selector=selector))
        rig.give(task(command("true"), token="labelled"), task_queue(selector))
        assert rig.finished("labelled").outcome == "succeeded"

    with Rig(tmp_path, labels={"gpu": "true"}) as rig:
        rig.give(task(command("true"), token="after"), task_queue(selector))
        assert rig.finished("after").outcome == "succeeded"


def test_the_files_of_a_run_go_some_minutes_after_it_succeeded(rig: Rig) -> None:
    ended = rig.run(task(command("touch kept")))
    folder = rig.work_dir()
    assert folder.joinpath("kept").exists()

    rig.broadcast("workers", RootRunsEnded(runs=[("d", "r1")]))

    def removed() -> bool:
        rig.worker.run_files.remove_succeeded(time.monotonic() + 600)
        return not folder.exists() and not Path(ended.stdout).exists()

    eventually(removed)


def test_heartbeats_renew_the_lease_of_every_attempt_and_the_last_says_stopped(tmp_path: Path) -> None:
    with Rig(tmp_path, lease_s=0.5) as rig:
        heard = rig.transport.consume([HEARTBEATS], prefetch=1000)
        rig.give(task(command("while [ ! -e go ]; do sleep 0.02; done"), token="held"))
        rig.started("held")
        eventually(lambda: any("held" in beat.tokens for beat in rig.taken(heard, Heartbeat)))
        rig.work_dir().joinpath("go").touch()
        rig.finished("held")
        rig.worker.stop()

        last = rig.taken(heard, Heartbeat)[-1]
        assert (last.stopped, last.tokens, last.worker_id) == (True, (), "w1")


def test_a_large_output_is_streamed_whole_and_memory_stays_flat(rig: Rig) -> None:
    size = 20_000_000
    rig.run(task(command("head -c 2000000 /dev/zero")))
    before = _resident_bytes()
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], _resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    rig.give(task(command(f"yes 0123456789abcde | head -c {size}"), token="big"))
    finished = rig.finished("big")
    done.set()
    watcher.join()

    assert finished.outcome == "succeeded"
    chunks = sorted(rig.logs("big"), key=lambda chunk: chunk.seq)
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert all(chunk.offset == sum(len(one.data) for one in chunks[: chunk.seq]) for chunk in chunks[::50])
    assert sum(len(chunk.data) for chunk in chunks) == size
    # The rig itself keeps the 20 MB; the worker adds at most its windows.
    assert peak[0] - before < size + 30_000_000


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
