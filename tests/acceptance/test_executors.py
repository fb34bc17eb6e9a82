"""Cases whose steps or mails need a server. All run at the same time, in one system per deployment."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from shared.contracts import commands as c
from shared.store import tables as t
from tests.acceptance.places import Places, open_places
from tests.acceptance.world import Case, Seen, World, equal
from tests.harness.eventually import eventually
from tests.harness.needs import need

Mails = dict[str, tuple[list[str], dict[str, str]]]
"""By subject: the recipients and the parts of each received mail. Parts have file names, the body has none."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    need("sshd")
    need("dockerd")
    with open_places(tmp_path_factory.mktemp("places")) as made:
        yield made


@pytest.fixture
def engine_url(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL of the container engine for the workers."""
    monkeypatch.setenv("DOCKER_HOST", places.engine.url)


@dataclass(frozen=True)
class Row:
    """A run, its expected status, and the mails that it must send: by subject, a check of the parts."""

    row: str
    spec: str
    status: str
    check: Callable[[Seen], object] = lambda _: None
    mails: tuple[str, ...] = ()

    @property
    def case(self) -> Case:
        return Case(self.row, "", self.spec, lambda _: None)


def _http(seen: Seen) -> None:
    assert seen.out("use") == "200 1"


def _not_found(seen: Seen) -> None:
    assert (seen.nodes["s"]["exit_code"], seen.log("s").startswith("404")) == (1, True)


def _archive(seen: Seen) -> None:
    # The folder itself is an entry too.
    assert (seen.json("pack")["filesAdded"], seen.json("look")["totalFiles"]) == (3, 3)


def _missing(seen: Seen) -> None:
    assert seen.nodes["s"]["exit_code"] == 3


def _ssh(seen: Seen) -> None:
    assert seen.out("plain").startswith("127.0.0.1 ")
    assert seen.nodes["code"]["exit_code"] == 9


def _container(seen: Seen) -> None:
    assert seen.out("read") == "made in a container"


def _chat(seen: Seen) -> None:
    assert seen.log("s") == "the answer \n"


def _told(seen: Seen) -> None:
    assert seen.log("follow-up") == "mail sent to one@x.org, two@x.org: [eu] a88 (failed)\n"


def _nobody(seen: Seen) -> None:
    assert "mail not sent: cannot connect to 127.0.0.1, port 1: Connection refused" in seen.log("follow-up", "stderr")
    (attempt,) = seen.world.rows(t.attempts, run_key=seen.run["run_key"], node=seen.nodes["follow-up"]["idx"])
    assert (attempt["outcome"], seen.nodes["follow-up"]["status"]) == ("failed", "failed")


def _untold(seen: Seen) -> None:
    assert seen.nodes["follow-up"]["number"] == 0


ERROR = 'errorMail: {from: dag@x.org, to: [one@x.org, "two@x.org"], prefix: "[${REGION}]", attachLogs: true}\n'
INFO = "infoMail: {from: dag@x.org, to: 'a@x.org, b@x.org'}\n"
NOTICES = "smtp: {smtp}\nmailOn: {failure: true, success: true}\n" + ERROR + INFO + "env: [{REGION: eu}]\n"
SECRET = "secrets: [{name: T, provider: env, key: ACCEPTANCE_SECRET}]\n"
BOX = "container: {image: localhost/small:1, pullPolicy: never}\n"

ROWS = [
    Row(
        "A70",
        'steps:\n  - {type: http, command: "GET {http}/json", config: {json: true}, output: R}\n'
        "  - {name: use, command: 'echo ${R.status_code} ${R.body.a}'}\n",
        "succeeded",
        _http,
    ),
    Row("A70 404", 'steps: [{name: s, type: http, command: "GET {http}/status/404"}]', "failed", _not_found),
    Row(
        "A71",
        'steps: [{name: s, type: jq, command: .a, script: \'{"a":"x"}\', config: {raw: true}}]',
        "succeeded",
        lambda seen: equal(seen.log("s"), "x\n"),
    ),
    Row(
        "A72",
        "steps:\n  - mkdir in; touch in/a in/b\n"
        "  - {name: pack, type: archive, command: create, config: {source: in, destination: x.tgz}}\n"
        "  - {name: look, type: archive, command: list, config: {source: x.tgz}}\n",
        "succeeded",
        _archive,
    ),
    Row(
        "A72 missing",
        "steps: [{name: s, type: archive, command: extract, config: {source: nowhere.zip}}]",
        "failed",
        _missing,
    ),
    Row(
        "A73",
        "smtp: {smtp}\n"
        "steps: [{type: mail, config: {from: a@x.org, to: [c@x.org, d@x.org], subject: A73, message: hi}}]",
        "succeeded",
        mails=("A73",),
    ),
    Row(
        "A74",
        "ssh: {ssh}\nsteps:\n  - {name: plain, command: printenv SSH_CONNECTION, continueOn: failed}\n"
        "  - {name: code, command: exit 9, shell: sh}\n",
        "failed",
        _ssh,
    ),
    Row(
        "A75",
        BOX + "steps:\n  - {command: \"sh -c 'echo made in a container > /tmp/f'\"}\n"
        "  - {name: read, command: cat /tmp/f}\n",
        "succeeded",
        _container,
    ),
    Row("A75 failed", BOX + "steps: [{command: sh -c 'exit 4'}]\n", "failed"),
    Row(
        "A91",
        "steps: [{name: s, type: chat, llm: {provider: local, model: m, baseURL: '{http}/v1'},"
        " messages: [{role: user, content: the answer}]}]\n",
        "succeeded",
        _chat,
    ),
    Row(
        "A91 history",
        "llm: {provider: local, model: history, baseURL: '{http}/v1'}\nsteps:\n"
        "  - {name: a, type: chat, messages: [{role: system, content: be brief}, {role: user, content: one}]}\n"
        "  - {name: b, type: chat, messages: [{role: user, content: two}]}\n"
        "  - echo between\n"
        "  - {name: c, type: chat, messages: [{role: user, content: three}]}\n",
        "succeeded",
    ),
    Row(
        "A88",
        NOTICES + SECRET + "steps:\n  - {name: a, command: echo out $T}\n"
        "  - {name: b, command: 'echo \"<b> $T\" >&2; exit 3'}\n",
        "failed",
        _told,
        ("[eu] a88 (failed)",),
    ),
    Row("A88 success", NOTICES + "steps: [echo x]\n", "succeeded", mails=("a88-success (succeeded)",)),
    Row(
        "A88 tolerated",
        NOTICES + "steps: [{command: exit 1, continueOn: failed}, echo x]\n",
        "partially_succeeded",
        mails=("[eu] a88-tolerated (partially_succeeded)",),
    ),
    Row("A88 quiet", NOTICES + "steps: [echo x]\n", "succeeded", mails=("a88-quiet (succeeded)",)),
    Row(
        "A88 not asked",
        "smtp: {smtp}\nmailOn: {failure: true}\nerrorMail: {from: a@x.org, to: b@x.org}\nsteps: [echo x]\n",
        "succeeded",
        _untold,
    ),
    Row(
        "T73",
        "smtp: {smtp}\n" + ERROR + "env: [{REGION: us}]\n"
        "steps: [{name: a, command: exit 1, mailOnError: true, continueOn: failed}, {name: b, command: echo b}]\n",
        "partially_succeeded",
        mails=("[us] t73 (failed)",),
    ),
    Row(
        "T tls",
        "smtp: {post}\nenv: [{P: let me in}]\nmailOn: {success: true}\n" + INFO + "steps: [echo x]\n",
        "succeeded",
        mails=("t-tls (succeeded)",),
    ),
    Row(
        "T example",
        (Path(__file__).parents[2] / "examples/executors/notices.yaml").read_text().replace("25", "{mail_port}"),
        "succeeded",
        mails=("[done] t-example (succeeded)",),
    ),
    # The mail has the values of env, although a secret could not be read.
    Row(
        "T secret",
        NOTICES + "secrets: [{name: T, provider: env, key: NOWHERE}]\nsteps: [echo x]\n",
        "failed",
        mails=("[eu] t-secret (failed)",),
    ),
    Row(
        "T nobody",
        "smtp: {host: 127.0.0.1, port: 1}\nmailOn: {success: true}\n" + INFO + "steps: [echo x]\n",
        "succeeded",
        _nobody,
    ),
]

REFUSED = {
    "A75 script": ("container: {image: i}\nsteps: [{script: echo x}]", "does not support script field"),
    "A91 model": ("steps: [{type: chat, llm: {provider: local}, messages: [{role: user, content: x}]}]", "model is"),
}


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("engine_url")
def test_every_case_that_needs_a_server(world: World, places: Places, subtests: pytest.Subtests) -> None:
    for row, (spec, words) in REFUSED.items():
        with subtests.test(row=row):
            reply = world.ask(c.CreateDag(file_name=row.lower().replace(" ", "-"), spec=spec))
            assert reply.error is not None
            assert words in reply.error.message
    filled = [Row(one.row, places.fill(one.spec), one.status, one.check, one.mails) for one in ROWS]
    for one in filled:
        world.begin(one.case)
    for one in filled:
        with subtests.test(row=one.row):
            seen = _rested(world, one.case)
            assert seen.status == one.status, {name: row["error"] for name, row in seen.nodes.items()}
            one.check(seen)
    with subtests.test(row="mails"):
        _check_mails(places, [subject for one in filled for subject in one.mails])
    with subtests.test(row="A75 removed"):
        # A worker removes it when it hears that the run has ended.
        eventually(lambda: places.engine.names() == [])
    with subtests.test(row="A91 asked"):
        asked = [json.loads(one["body"]) for one in places.http.requests if one["path"] == "/v1/chat/completions"]
        assert [one["model"] for one in asked].count("m") == 1
        talks = [[said["content"].strip() for said in one["messages"]] for one in asked if one["model"] == "history"]
        assert talks == [["be brief", "one"], ["be brief", "one", "one", "two"], ["three"]]
    places.http.requests.clear()


def _rested(world: World, case: Case) -> Seen:
    """Wait until a run and its follow-up have ended."""
    world.ended(case)

    def rested() -> Seen:
        seen = world.seen(case)
        follow_up = seen.nodes.get("follow-up")
        assert follow_up is None or (follow_up["token"], follow_up["outputs"]) == (None, {})
        return seen

    return eventually(rested)


def _check_mails(places: Places, subjects: list[str]) -> None:
    came: dict[str, tuple[list[str], Message]] = {}
    for _ in subjects:
        for server in (places.mail, places.post):
            while not server.mails.empty():
                recipients, message = server.mails.get()
                assert message["Subject"] not in came, "a mail came twice"
                came[str(message["Subject"])] = (recipients, message)
    assert sorted(came) == sorted(subjects)
    recipients, mail = came["[eu] a88 (failed)"]
    assert (mail["From"], mail["To"], recipients) == ("dag@x.org", "one@x.org, two@x.org", ["one@x.org", "two@x.org"])
    attachments = _parts(mail)
    body = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "AT", attachments.pop(""))
    assert "<tr><td>a</td><td>AT</td><td>AT</td><td>succeeded</td><td></td></tr>" in body
    assert "<td>b</td><td>AT</td><td>AT</td><td>failed</td>" in body
    assert "&lt;b&gt; *******" in body
    logs = {re.sub(r"\.\d+\.", ".", name): text for name, text in attachments.items()}
    assert logs == {"a.out": "out *******\n"}, "an empty log is not attached"
    of_a_step = _parts(came["[us] t73 (failed)"][1])[""]
    assert ("<td>a</td>" in of_a_step, "<td>b</td>" in of_a_step) == (True, False)
    assert came["a88-quiet (succeeded)"][0] == ["a@x.org", "b@x.org"]
    assert came["A73"][0] == ["c@x.org", "d@x.org"]


def _parts(message: Message) -> dict[str, str]:
    found = {}
    for part in message.walk():
        if not part.is_multipart():
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            found[part.get_filename() or ""] = data.decode()
    return found
