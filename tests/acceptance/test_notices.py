"""Row A88 and section 5.16 of the reference: who is told what by mail, and that nothing depends on it."""

import re
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from shared.store import tables as t
from tests.acceptance.world import Case, Seen, World
from tests.harness.counterparts import MailCounterpart, certificate
from tests.harness.eventually import eventually, free_port

MAILS = """
smtp: {{host: 127.0.0.1, port: {port}}}
mailOn: {{failure: true, success: true}}
errorMail: {{from: dag@x.org, to: [one@x.org, "two@x.org"], prefix: "[${{REGION}}]", attachLogs: true}}
infoMail: {{from: dag@x.org, to: info@x.org}}
env: [{{REGION: eu}}]
"""


@pytest.fixture
def server() -> Iterator[MailCounterpart]:
    with MailCounterpart(None) as made:
        yield made


def run(world: World, row: str, spec: str) -> Seen:
    """Make a run of ``spec`` and wait for its end and its errand's."""
    case = Case(row, row, spec, lambda _: None)
    world.begin(case)
    world.ended(case)

    def rested() -> Seen:
        seen = world.seen(case)
        errand = seen.nodes.get("errand")
        assert errand is None or (errand["token"], errand["outputs"]) == (None, {})
        return seen

    return eventually(rested, timeout_s=30)


def parts(message: Message) -> dict[str, str]:
    """Return the text of each part of a mail by its file name; the body has none."""
    found = {}
    for part in message.walk():
        if not part.is_multipart():
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            found[part.get_filename() or ""] = data.decode()
    return found


def test_a88_a_failure_is_told_with_its_logs_and_without_its_secrets(world: World, server: MailCounterpart) -> None:
    spec = MAILS.format(port=server.port) + (
        "secrets: [{name: T, provider: env, key: ACCEPTANCE_SECRET}]\n"
        "steps:\n  - {name: a, command: 'echo out $T'}\n  - {name: b, command: 'echo \"<b> $T\" >&2; exit 3'}\n"
    )
    seen = run(world, "A88", spec)

    recipients, mail = server.mails.get(timeout=10)
    assert (seen.status, recipients) == ("failed", ["one@x.org", "two@x.org"])
    assert (mail["Subject"], mail["From"], mail["To"]) == ("[eu] a88 (failed)", "dag@x.org", "one@x.org, two@x.org")
    told = parts(mail)
    body = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "AT", told.pop(""))
    assert "<tr><td>a</td><td>AT</td><td>AT</td><td>succeeded</td><td></td></tr>" in body
    assert "<td>b</td><td>AT</td><td>AT</td><td>failed</td>" in body
    assert "&lt;b&gt; *******" in body
    assert {re.sub(r"\.\d+\.", ".", name): text for name, text in told.items()} == {
        "a.out": "out *******\n",
        "b.out": "",
    }
    assert server.mails.empty()
    assert seen.log("errand") == "mail sent to one@x.org, two@x.org: [eu] a88 (failed)\n"


def test_a_success_is_told_where_it_is_asked_for(world: World, server: MailCounterpart) -> None:
    run(world, "A88 success", MAILS.format(port=server.port) + "steps: [echo x]\n")
    quiet = "mailOn: {failure: true}\ninfoMail: {from: a@x.org, to: b@x.org}\nsteps: [echo x]\n"
    run(world, "A88 quiet", f"smtp: {{host: 127.0.0.1, port: {server.port}}}\n{quiet}")

    assert server.mails.get(timeout=10)[1]["Subject"] == "a88-success (succeeded)"
    assert server.mails.empty()


def test_a_step_tells_of_its_own_failure_at_once(world: World, server: MailCounterpart) -> None:
    spec = (
        f"smtp: {{host: 127.0.0.1, port: {server.port}}}\nerrorMail: {{from: a@x.org, to: b@x.org}}\n"
        "steps:\n  - {name: a, command: exit 1, mailOnError: true, continueOn: failed}\n"
        "  - {name: b, command: 'until test -e {dir}/go; do sleep 0.05; done'}\n"
    )

    def after_the_mail(world: World, case: Case) -> None:
        message = server.mails.get(timeout=20)[1]
        assert message["Subject"] == "t-step (failed)"
        body = parts(message)[""]
        assert ("<td>a</td>" in body, "<td>b</td>" in body) == (True, False)
        (world.dir(case) / "go").touch()

    case = Case("T step", "", spec, lambda _: None, meanwhile=after_the_mail)
    world.begin(case)

    assert world.ended(case).status == "partially_succeeded"
    assert server.mails.empty()


def test_a_server_with_tls_and_password_is_spoken_to(world: World, tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    with MailCounterpart(tls) as server:
        smtp = (
            f"{{host: localhost, port: {server.port}, username: {server.user}, password: '${{P}}', caFile: {tls[0]}}}"
        )
        spec = (
            f"smtp: {smtp}\nenv: [{{P: {server.password}}}]\nmailOn: {{success: true}}\n"
            "infoMail: {from: a@x.org, to: b@x.org}\nsteps: [echo x]\n"
        )
        run(world, "T tls", spec)

        assert server.mails.get(timeout=10)[1]["Subject"] == "t-tls (succeeded)"


def test_a_missing_secret_is_told_too(world: World, server: MailCounterpart) -> None:
    spec = MAILS.format(port=server.port) + "secrets: [{name: T, provider: env, key: NOWHERE}]\nsteps: [echo x]\n"

    assert run(world, "T secret", spec).status == "failed"
    # The dag's env is evaluated together with its secrets, so neither is known.
    assert server.mails.get(timeout=10)[1]["Subject"] == "[] t-secret (failed)"


def test_a_mail_that_nobody_takes_changes_nothing_and_is_told_in_the_log(world: World) -> None:
    spec = MAILS.format(port=free_port()) + "steps: [echo x]\n"
    seen = run(world, "T nobody", spec)

    assert seen.status == "succeeded"
    assert "mail not sent: [Errno 111] Connection refused" in seen.log("errand", "stderr")
    (attempt,) = world.rows(t.attempts, run_key=seen.run["run_key"], node=seen.nodes["errand"]["idx"])
    assert attempt["outcome"] == "failed"
