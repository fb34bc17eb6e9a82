"""The mail and ssh executors against a real mail server and a real SSH server."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest

from services.worker.inputs.workspace import run_folder
from shared.contracts.control import StopAttempt
from shared.contracts.follow_ups import FOLLOW_UP, FollowUp, Mail, NodeReport
from shared.language.load import load
from shared.language.model import MailSettings, Secret, Step, StepCommand
from tests.harness.cluster import gone, pid_in
from tests.harness.counterparts import MailCounterpart, SshCounterpart, certificate, silent_port
from tests.harness.eventually import eventually
from tests.harness.loopback import serving
from tests.harness.needs import need
from tests.harness.worker_rig import Rig, task


def mail(**config: Any) -> Step:
    settings = {"from": "a@example.org", "to": "b@example.org", "subject": "on ${P}", "message": "one\ntwo ${P}"}
    return Step(name="s", type="mail", config={**settings, **config})


def test_a_mail_is_sent_over_tls_after_a_login_with_its_attachments(rig: Rig, tmp_path: Path) -> None:
    cert = certificate(tmp_path)
    (rig.work_dir() / "a.txt").write_text("attached")
    with MailCounterpart(cert) as server:
        smtp = {"host": "localhost", "port": server.port, "username": "${U}", "password": server.password}
        smtp["caFile"] = cert[0]
        step = mail(to=["b@example.org", "c@example.org"], attachments=["a.txt"])
        finished = rig.run(task(step, params=(("P", "friday"), ("U", server.user)), options={"smtp": smtp}))

        assert finished.outcome == "succeeded", finished.error
        recipients, message = server.mails.get(timeout=60)
    assert rig.log(finished, "stdout") == b"mail sent to b@example.org, c@example.org: on friday\n"
    assert recipients == ["b@example.org", "c@example.org"]
    assert (message["Subject"], message["To"]) == ("on friday", "b@example.org, c@example.org")
    body, attached = message.walk(), [part for part in message.walk() if part.get_filename()]
    text = next(part for part in body if part.get_content_type() == "text/html")
    assert text.get_payload(decode=True) == b"one<br />\r\ntwo friday\r\n"
    assert [(part.get_filename(), part.get_payload(decode=True)) for part in attached] == [("a.txt", b"attached")]


def test_a_wrong_password_a_strange_certificate_and_no_tls_are_failures(rig: Rig, tmp_path: Path) -> None:
    cert = certificate(tmp_path)
    with MailCounterpart(cert) as server, MailCounterpart(None) as plain:
        smtp = {"host": "localhost", "port": server.port, "username": server.user, "password": "wrong"}
        wrong = rig.run(task(mail(), options={"smtp": {**smtp, "caFile": cert[0]}}))
        strange = rig.run(task(mail(), options={"smtp": smtp}))
        clear = rig.run(task(mail(), options={"smtp": {**smtp, "port": plain.port}}))
        sent = rig.run(task(mail(), options={"smtp": {"host": "localhost", "port": plain.port}}))

        assert plain.mails.get(timeout=60)[0] == ["b@example.org"]
        assert server.mails.empty()
    assert (wrong.outcome, wrong.exit_code, sent.outcome) == ("failed", 1, "succeeded")
    assert "535" in wrong.error
    assert "certificate" in strange.error
    assert "the server offers no TLS" in clear.error


def test_a_mail_step_with_a_refused_address_sends_nothing_and_says_whose_it_is(rig: Rig) -> None:
    with MailCounterpart(None) as server:
        smtp = {"host": "localhost", "port": server.port}
        to = ["b@example.org", "Who <unknown@example.org>"]
        finished = rig.run(task(mail(to=to), options={"smtp": smtp}))

        assert server.mails.empty()
    assert finished.error == 'failed to execute step "s": mail not sent: unknown@example.org: 550 no such user'
    assert rig.log(finished, "stdout") == b""


class _RudeServer(MailCounterpart):
    """Takes every mail, and closes the connection without a reply to QUIT."""

    async def handle_QUIT(self, server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802 - the library's name
        server.transport.abort()
        return "221 Bye"


def test_a_mail_is_sent_when_the_server_has_taken_it_and_however_the_connection_ends(rig: Rig) -> None:
    with _RudeServer(None) as server:
        finished = rig.run(task(mail(), options={"smtp": {"host": "localhost", "port": server.port}}))

        assert server.mails.get(timeout=60)[0] == ["b@example.org"]
    assert finished.outcome == "succeeded", finished.error


def test_a_mail_of_a_run_reaches_whom_it_can_and_names_the_others(rig: Rig) -> None:
    to = ("b@example.org", "Who <unknown@example.org>")
    told = Mail(id="m", settings=MailSettings(sender="a@example.org", to=to), status="failed", nodes=())
    with MailCounterpart(None) as server:
        follow_up = FollowUp(smtp={"host": "localhost", "port": str(server.port)}, mails=(told,))
        options = {FOLLOW_UP: follow_up.model_dump(mode="json")}
        finished = rig.run(task(Step(name="follow-up"), kind=FOLLOW_UP, options=options))

        assert server.mails.get(timeout=60)[0] == ["b@example.org"]
    assert rig.log(finished, "stdout") == b"mail sent to b@example.org: d (failed)\n"
    assert rig.log(finished, "stderr") == b"mail not sent to unknown@example.org: 550 no such user\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that is longer than its size says")
def test_no_more_of_a_file_is_read_than_may_be_attached(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if another step made the file longer after the worker has asked for its size."""
    monkeypatch.setattr("services.worker.executors.mail._MAX_ATTACHED_BYTES", 64)
    step = mail(attachments=["/proc/self/status"])
    finished = rig.run(task(step, options={"smtp": {"host": "localhost", "port": "1"}}))

    assert "all files together may have at most 64 bytes; with status they have more" in finished.error


def test_a_mail_of_a_run_has_no_file_from_outside_its_logs(rig: Rig, tmp_path: Path) -> None:
    """The paths are those that workers reported, and one of them may be stolen."""
    follow_up_task = task(Step(name="follow-up"), kind=FOLLOW_UP)
    other_run = follow_up_task.model_copy(update={"dag_run_id": "other", "root_dag_run_id": "other"})
    logs, foreign = (rig.path / "logs" / run_folder(each) for each in (follow_up_task, other_run))
    for folder in (logs, foreign):
        folder.mkdir(parents=True, exist_ok=True)
    (foreign / "foreign.out").write_text("of another run")
    (tmp_path / "private").write_text("private")
    (logs / "link").symlink_to(tmp_path / "private")
    (logs / "log.out").write_text("log")
    (logs / "2").mkdir(exist_ok=True)
    (logs / "2" / "retried.out").write_text("log")
    private = f"{logs}/{os.path.relpath(tmp_path / 'private', logs)}"
    paths = [private, *(str(path) for path in (logs / "link", foreign / "foreign.out", logs / "log.out"))]
    paths.append(str(logs / "2" / "retried.out"))
    nodes = tuple(NodeReport(name="s", status="failed", stdout=path) for path in paths)
    settings = MailSettings(sender="a@example.org", to=("b@example.org",), attach_logs=True)
    with MailCounterpart(None) as server:
        follow_up = FollowUp(
            smtp={"host": "localhost", "port": str(server.port)},
            mails=(Mail(id="m", settings=settings, status="failed", nodes=nodes),),
        )
        rig.run(follow_up_task.model_copy(update={"options": {FOLLOW_UP: follow_up.model_dump(mode="json")}}))

        _, message = server.mails.get(timeout=60)
    assert [part.get_filename() for part in message.walk() if part.get_filename()] == ["log.out", "retried.out"]


@pytest.mark.parametrize(
    ("config", "options", "why"),
    [
        ({}, {}, "no mail server"),
        ({"from": ""}, {"smtp": {"host": "h"}}, "needs from and to"),
        ({"subject": "a\nBcc: x@example.org"}, {"smtp": {"host": "h"}}, "must be one line"),
        ({"attachments": "nowhere.txt"}, {"smtp": {"host": "h"}}, "nowhere.txt"),
    ],
)
def test_an_invalid_mail_breaks_the_step(rig: Rig, config: dict[str, Any], options: dict[str, Any], why: str) -> None:
    finished = rig.run(task(mail(**config), options=options))

    assert finished.outcome == "broken"
    assert why in finished.error


def test_a_stop_ends_the_wait_for_a_silent_mail_server(rig: Rig) -> None:
    with silent_port() as port:
        rig.give(task(mail(), token="t", options={"smtp": {"host": "127.0.0.1", "port": port}}))
        rig.started("t")
        rig.broadcast("worker.w1", StopAttempt(token="t"))
        assert rig.finished("t").outcome == "aborted"


class EndlessReply(StreamRequestHandler):
    """A mail server whose greeting has no last line."""

    def handle(self) -> None:
        with suppress(OSError):
            while True:
                self.wfile.write(b"220-" + b"x" * 1000 + b"\r\n")


def test_a_reply_without_end_fails_the_step_before_it_fills_the_memory(rig: Rig) -> None:
    server = ThreadingTCPServer(("127.0.0.1", 0), EndlessReply)
    with serving(server):
        smtp = {"host": "127.0.0.1", "port": server.server_address[1]}
        finished = rig.run(task(mail(), options={"smtp": smtp}, timeout_s=20))

    assert finished.error.endswith("the server's replies are longer than 4194304 bytes")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshCounterpart]:
    need("sshd")
    with SshCounterpart(tmp_path_factory.mktemp("ssh")) as server:
        yield server


def ssh(server: SshCounterpart, *argvs: tuple[str, ...], **config: Any) -> Step:
    settings = {"host": "127.0.0.1", "port": server.port, "user": server.user, "key": str(server.key)}
    settings["knownHostFile"] = str(server.known_hosts)
    commands = tuple(StepCommand(text=" ".join(argv), argv=argv) for argv in argvs)
    return Step(name="s", type="ssh", commands=commands, config={**settings, **config})


def test_words_arrive_unchanged_and_nothing_is_expanded_remotely(rig: Rig, host: SshCounterpart) -> None:
    step = ssh(host, ("printf", "%s|", "a b", "$HOME", "*", "it's", "${P}", "`id`"))
    finished = rig.run(task(step, params=(("P", "p q; exit 9"),), env=(("HOME", "/here"),)))

    assert finished.outcome == "succeeded", finished.error
    assert rig.log(finished, "stdout").startswith(b"a b|/here|*|it's|p q; exit 9|")


def test_words_may_be_builtins_of_the_remote_shell(rig: Rig, host: SshCounterpart) -> None:
    finished = rig.run(task(ssh(host, ("cd", "/"), ("exit", "3"))))

    assert (finished.outcome, finished.exit_code) == ("failed", 3)
    assert "command 2 failed: exit status 3" in finished.error


def test_the_dags_shell_may_have_arguments(rig: Rig, host: SshCounterpart) -> None:
    dag = load("ssh: {host: h, shell: 'sh -e'}\nsteps: ['false; echo after']", file_name="d").dag
    assert dag is not None
    finished = rig.run(task(dag.steps[0], options={"ssh": {**ssh(host).config, "shell": (dag.ssh or {})["shell"]}}))

    assert (finished.outcome, finished.exit_code, rig.log(finished, "stdout")) == ("failed", 1, b"")


def test_streams_and_the_exit_code_come_back(rig: Rig, host: SshCounterpart) -> None:
    finished = rig.run(
        task(
            ssh(host, ("x",), shell="sh").model_copy(
                update={"commands": (StepCommand(text="echo out; for i in 1 2; do echo e$i; done >&2; exit 7"),)}
            )
        )
    )

    assert (finished.outcome, finished.exit_code) == ("failed", 7)
    assert rig.log(finished, "stdout") == b"out\n"
    assert rig.log(finished, "stderr") == b"e1\ne2\n"


def test_several_commands_stop_at_the_first_failure(rig: Rig, host: SshCounterpart) -> None:
    finished = rig.run(task(ssh(host, ("echo", "1"), ("false",), ("echo", "3"))))

    assert "command 2 failed: exit status 1" in finished.error
    assert rig.log(finished, "stdout") == b"1\n"


def test_a_step_without_a_target_uses_the_dags(rig: Rig, host: SshCounterpart) -> None:
    settings = ssh(host).config
    step = Step(name="s", type="ssh", commands=(StepCommand(text="echo hi", argv=("echo", "hi")),))
    finished = rig.run(task(step, options={"ssh": settings}))

    assert rig.log(finished, "stdout") == b"hi\n"


def test_a_host_that_is_not_known_is_refused_unless_the_step_says_otherwise(
    rig: Rig, host: SshCounterpart, tmp_path: Path
) -> None:
    strict = rig.run(task(ssh(host, ("echo", "hi"), knownHostFile=str(tmp_path / "none"))))
    careless = rig.run(task(ssh(host, ("echo", "hi"), strictHostKey=False)))

    assert (strict.outcome, strict.exit_code) == ("failed", 255)
    assert "Host key verification failed" in strict.error
    assert careless.outcome == "succeeded"
    assert not (tmp_path / "none").exists()


class ClosesAtOnce(StreamRequestHandler):
    """An SSH server that closes the connection after the first words, as one with too many clients may."""

    def handle(self) -> None:
        self.wfile.write(b"SSH-2.0-None\r\n")
        self.rfile.readline()
        self.connection.recv(65536)


def test_a_server_that_closes_the_connection_is_named_as_the_reason(rig: Rig, host: SshCounterpart) -> None:
    server = ThreadingTCPServer(("127.0.0.1", 0), ClosesAtOnce)
    with serving(server):
        closed = rig.run(task(ssh(host, ("echo", "hi"), port=server.server_address[1])))
    own = rig.run(task(ssh(host, ("sh", "-c", "echo why >&2; exit 255"))))

    assert (closed.outcome, closed.exit_code) == ("failed", 255)
    assert "exit status 255 (the server closed the connection, or" in closed.error
    assert "closed the connection" not in own.error


def test_a_password_is_passed_to_ssh_and_a_passphrase_unlocks_a_key(
    rig: Rig, host: SshCounterpart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "own"))  # other tests may write to /tmp meanwhile
    opened = rig.run(
        task(ssh(host, ("echo", "hi"), key=str(host.locked), password="${W}"), params=(("W", host.passphrase),))
    )
    refused = rig.run(task(ssh(host, ("echo", "hi"), key=str(host.locked), password="wrong")))

    assert opened.outcome == "succeeded", opened.error
    assert (refused.outcome, refused.exit_code) == ("failed", 255)
    # The server saw a password come in; only the machine's administrator could make it the right one.
    # Its process with rights writes that after the other one has answered.
    eventually(lambda: "Failed password for" in host.log.read_text())
    assert list((tmp_path / "own").glob("dagway-askpass-*")) == []


@pytest.mark.parametrize("target", [{"host": ""}, {"host": "-oProxyCommand=x"}, {"user": "-l"}, {"port": "x"}])
def test_an_invalid_target_breaks_the_step(rig: Rig, host: SshCounterpart, target: dict[str, Any]) -> None:
    finished = rig.run(task(ssh(host, ("echo",), **target)))

    assert finished.outcome == "broken"
    assert "invalid ssh target" in finished.error


LONG = (
    "trap 'echo bye >> {folder}/said; exit 0' TERM; echo $$ > {folder}/pid; sleep 600 & echo $! > {folder}/child; wait"
)


@pytest.mark.parametrize("how", ["stop", "timeout"])
def test_the_remote_command_does_not_outlive_its_step(rig: Rig, host: SshCounterpart, tmp_path: Path, how: str) -> None:
    folder = tmp_path
    # The time limit includes the login, which takes long on a busy machine.
    for limit_s in (6, 20, 60) if how == "timeout" else (0,):
        folder, token = tmp_path / f"limit-{limit_s}", f"t{limit_s}"
        folder.mkdir()
        step = ssh(host, ("x",), shell="sh").model_copy(
            update={"commands": (StepCommand(text=LONG.format(folder=folder)),)}
        )
        rig.give(task(step, token=token, timeout_s=limit_s))
        if how == "stop":
            pid_in(folder / "child")
            rig.broadcast("worker.w1", StopAttempt(token=token))
        assert rig.finished(token).outcome == ("aborted" if how == "stop" else "timed_out")
        if (folder / "child").exists():
            break
    pids = [pid_in(folder / "pid"), pid_in(folder / "child")]

    eventually(lambda: all(gone(pid) for pid in pids))
    assert (folder / "said").read_text() == "bye\n"


def test_a_password_opens_a_session(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("sshd")
    if os.geteuid() != 0:
        pytest.skip("only root can give the server a user with a password")
    monkeypatch.setenv("SECRET_OF_TEST", SshCounterpart.guest_password)
    (tmp_path / "ssh").mkdir()
    with SshCounterpart(tmp_path / "ssh", guest=True) as host:
        secrets = (Secret(name="W", provider="env", key="SECRET_OF_TEST"),)
        step = ssh(host, ("id", "-un"), user=host.guest, key="", password="${W}")
        finished = rig.run(task(step, secrets=secrets))
        refused = rig.run(task(ssh(host, ("id", "-un"), user=host.guest, key="", password="wrong")))

        assert (finished.error, rig.log(finished, "stdout")) == ("", b"guest\n")
        assert f"Accepted password for {host.guest}" in host.log.read_text()
        assert refused.exit_code == 255
    assert "guest" not in Path("/etc/passwd").read_text()
