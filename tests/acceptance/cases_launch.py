"""Cases of a step's shell, its directory, and the files for its output."""

from tests.acceptance.cases_text import outs
from tests.acceptance.world import Case, Seen

__all__ = ["LAUNCH"]


def _each_reason_is_reported(seen: Seen) -> None:
    assert seen.states() == {"a": "not_started"}
    prepare = next(row for row in seen.nodes.values() if row["kind"] == "prepare")
    first, second, third = prepare["unmet"]
    assert first == 'condition was not met: expected "b", got "a"'
    assert "back-quoted command `exit 3` failed" in second
    assert third == ""
    assert seen.run["error"] == second


def _called_in(seen: Seen) -> None:
    assert (seen.folder / "new" / "found").read_text() == "here\n"
    assert (seen.folder / "new" / "inner" / "found").read_text() == "here\n"


def _copied_apart(seen: Seen) -> None:
    texts = {path.name: path.read_text() for path in seen.folder.glob("*.txt")}
    assert texts == {
        "so.txt": "out *******\n",
        "se.txt": "err *******\n",
        "only.txt": "loud\n",
        "other.txt": "quiet\n",
    }
    assert sorted(seen.out("a").splitlines()) == ["err *******", "out *******"]
    assert sorted(seen.out("c").splitlines()) == ["loud", "quiet"]
    assert seen.out("d") == "out *******"


def _thrice(seen: Seen) -> None:
    assert seen.out("counts").split() == ["3", "c", "3", "o", "3", "l", "9", "total"]


def _placed(seen: Seen) -> None:
    assert seen.out("b") == "out"
    place = seen.folder / "mine" / "logs"
    assert seen.nodes["say"]["stdout"].startswith(f"{place}/")
    assert seen.nodes["say"]["stderr"].startswith(f"{place}/")
    assert seen.out("c").startswith(f"{place}/")


def _unplaced(seen: Seen) -> None:
    assert seen.out("b") == "out"
    assert not seen.nodes["say"]["stdout"].startswith(str(seen.folder))


def _handed_on(seen: Seen) -> None:
    assert [child["params"] for child in seen.nodes["a"]["children"]] == ['T="Bearer *******" U="plain"']
    assert [child["params"] for child in seen.nodes["b"]["children"]] == ["T=*******"]
    first, second = seen.children()
    if first.run["parent_params"] == "T=*******":
        first, second = second, first
    assert first.out("say") == 'Bearer ******* plain\n*******\n{"T":"Bearer *******","U":"plain"}'
    assert second.out("say").startswith("******* own\n*******")
    assert (first.out("use"), second.out("use")) == ("13", "6")
    for child, shown in ((first, "Bearer *******"), (second, "*******")):
        (last,) = child.children()
        assert (last.out("say"), last.status) == (shown, "succeeded")
        assert "s3cr3t" not in child.log("hand") + str(child.nodes["hand"]["children"][0]["params"])
    assert "s3cr3t" not in seen.log("a") + seen.log("b")


def _not_counted(seen: Seen) -> None:
    assert {name: row["error"] for name, row in seen.nodes.items()} == {
        "unset": "retryPolicy.limit: '' is not a number",
        "fails": "retryPolicy.intervalSec: back-quoted command `false` failed: exit status 1",
        "word": "retryPolicy.limit: 'many' is not a number",
    }
    assert {row["number"] for row in seen.nodes.values()} == {1}
    assert not (seen.folder / "ran").exists()


def _made(seen: Seen) -> None:
    assert seen.out("a") == f"{seen.folder}/new/x\nx"
    assert seen.out("c") == "met"
    assert "No such file" in seen.nodes["b"]["error"]


LAUNCH = [
    Case(
        "T46 shell",
        "conditions run in the shell that variables name, as commands do",
        """shell: $SHELL
env: [SH: "/bin/sh"]
preconditions: "true"
workingDir: "{dir}"
steps:
  - {name: a, command: echo hi, preconditions: "true"}
  - {name: b, shell: "${SH} -u", command: echo ho, preconditions: "true"}
  - {name: c, shell: "$NOPE", command: echo he, preconditions: "true"}
  - name: d
    command: echo x >> n; wc -l < n
    repeatPolicy: {repeat: until, condition: 'test $(wc -l < n) -ge 2', limit: 4, intervalSec: 0}
""",
        outs(a="hi", b="ho", c="he", d="1\n2"),
        status="succeeded",
    ),
    Case(
        "T53 each",
        "every condition of a workflow says why it is not met, even next to one that cannot be evaluated",
        """preconditions:
  - {condition: a, expected: b}
  - {condition: "`exit 3`", expected: a}
  - {condition: a, expected: a}
steps:
  - {name: a, command: "true"}
""",
        _each_reason_is_reported,
        status="aborted",
    ),
    Case(
        "T41 made",
        "the directory of the dag is there before its first step, the directory of a step is not",
        """workingDir: "{dir}/new/x"
handlerOn: {init: {command: "echo here\\npwd > at"}}
steps:
  - {name: a, command: "cat at\\nbasename $PWD"}
  - {name: b, dir: none, script: echo never, continueOn: failed}
  - {name: c, command: echo met, preconditions: "test -d ../x"}
""",
        _made,
        status="partially_succeeded",
    ),
    Case(
        "T41 repeated",
        "the condition of a repetition is asked in the directory that the step made",
        """workingDir: "{dir}"
steps:
  - name: a
    dir: new
    command: 'echo x >> c'
    repeatPolicy: {repeat: while, condition: 'test $(wc -l < c) -lt 3', limit: 9, intervalSec: 0}
  - {name: b, command: wc -l < new/c}
""",
        outs(b="3"),
        status="succeeded",
    ),
    Case(
        "T76 directory",
        "a called run works in the directory of the step that calls it, which is made",
        """workingDir: "{dir}/new"
steps:
  - {name: a, call: sub}
  - {name: b, call: sub, dir: inner, params: "1"}
---
name: sub
steps: [echo here > found]
""",
        _called_in,
        status="succeeded",
    ),
    Case(
        "A50 copies",
        "of two streams in one log each has its own copy, without the secrets",
        """logOutput: merged
workingDir: "{dir}"
secrets: [{name: TOKEN, provider: file, key: "{dir}/token"}]
steps:
  - {name: a, command: "echo out $TOKEN; echo err $TOKEN >&2", stdout: so.txt, stderr: se.txt, output: O}
  - {name: b, command: "echo quiet; echo loud >&2", stderr: only.txt}
  - {name: c, command: "echo quiet; echo loud >&2", stdout: other.txt}
  - {name: d, command: 'echo "$O"'}
""",
        _copied_apart,
        files={"token": "s3cr3t"},
        status="succeeded",
    ),
    Case(
        "A47 not run",
        "a step that has not run has exit code 0, and a step may refer to itself",
        """steps:
  - id: first
    command: 'echo ${first.exit_code} ${last.exit_code} ${last.exitCode}; test -f ${first.stdout}'
  - {id: last, script: 'echo ${last.exit_code}; test -f ${last.stderr}; exit 3', continueOn: failed}
  - 'echo ${last.exit_code}'
""",
        outs(cmd_1="0 0 0", script_2="0", cmd_3="3"),
        status="partially_succeeded",
    ),
    Case(
        "A57 itself",
        "the condition of a repetition sees what the step itself has just come to",
        """workingDir: "{dir}"
steps:
  - id: code
    command: 'echo x >> c; n=$(wc -l < c); echo $n; test $n -ge 3'
    repeatPolicy: {repeat: until, condition: "${code.exit_code}", expected: "0", limit: 9, intervalSec: 0}
  - id: out
    command: 'echo x >> o; wc -l < o'
    output: N
    repeatPolicy: {repeat: until, condition: "${out.output}", expected: "3", limit: 9, intervalSec: 0}
  - id: log
    command: 'echo x >> l; wc -l < l'
    repeatPolicy: {repeat: until, condition: 'grep -q 3 ${log.stdout}', limit: 9, intervalSec: 0}
  - {name: counts, command: wc -l c o l}
""",
        _thrice,
        status="succeeded",
    ),
    Case(
        "T75 place",
        "logs lie in the dag's own folder for them",
        """env: [PLACE: "{dir}/mine"]
logDir: "$PLACE/logs"
steps:
  - {id: a, name: say, command: echo out}
  - {name: b, command: "cat ${a.stdout}"}
  - {name: c, command: 'echo "$DAG_RUN_LOG_FILE"; test -s "$DAG_RUN_LOG_FILE"'}
""",
        _placed,
        status="succeeded",
    ),
    Case(
        "T75 refused",
        "logs lie in the worker's folder where the dag's own cannot be made",
        """logDir: "{dir}/file/logs"
steps:
  - {id: a, name: say, command: echo out}
  - {name: b, command: "cat ${a.stdout}"}
""",
        _unplaced,
        files={"file": ""},
        status="succeeded",
    ),
    Case(
        "T72 handed",
        "a secret handed to a called run, and on from there, is seen nowhere, and works",
        """secrets: [{name: TOKEN, provider: file, key: "{dir}/token"}]
steps:
  - {name: a, call: sub, params: {T: "Bearer ${TOKEN}", U: plain}}
  - {name: b, call: sub, parallel: ["T=${TOKEN}"]}
---
name: sub
params: {T: none, U: own}
steps:
  - {name: say, command: 'echo "$T $U"; echo "${T#Bearer }"; printenv DAGU_PARAMS_JSON'}
  - {name: use, command: 'printf %s "$T" | wc -c', output: LENGTH}
  - {name: hand, call: last, params: "V=$T"}
---
name: last
params: "V=none"
steps: [{name: say, command: 'echo "$V"; test "$V" != none'}]
""",
        _handed_on,
        files={"token": "s3cr3t"},
        status="succeeded",
    ),
    Case(
        "T42 no number",
        "a step whose retries cannot be counted is not run",
        """type: graph
workingDir: "{dir}"
steps:
  - {name: unset, command: echo >> ran, retryPolicy: {limit: "${NOPE}", intervalSec: 0}}
  - {name: fails, command: echo >> ran, retryPolicy: {limit: 1, intervalSec: "`false`"}}
  - {name: word, command: echo >> ran, retryPolicy: {limit: "${WORD}", intervalSec: 0}, env: [WORD: many]}
""",
        _not_counted,
        status="failed",
    ),
    Case(
        "A28 schema",
        "parameters given as JSON are shown as they were given, with a schema too",
        """workingDir: "{dir}"
params: {schema: schema.json, values: {n: 1}}
steps: [printenv DAGU_PARAMS_JSON]
""",
        outs(cmd_1='{"n": 5}'),
        params='{"n": 5}',
        files={"schema.json": '{"properties": {"n": {"type": "integer"}, "m": {"type": "integer", "default": 9}}}'},
        status="succeeded",
    ),
]
