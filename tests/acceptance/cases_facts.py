"""Cases of details that YAML files rely on, named by the trap or section of the reference that describes them."""

from tests.acceptance.cases_text import outs
from tests.acceptance.world import Case, Seen

__all__ = ["FACTS"]


def _tries(seen: Seen) -> None:
    assert seen.out("read") == "try 1\ntry 2\ntry 3"
    assert seen.out("polled") == "1\n2"


def _masked(seen: Seen) -> None:
    assert seen.out("read") == "*******"
    assert seen.out("length") == "8"


def _merged(seen: Seen) -> None:
    assert seen.out("read") == "out\nerr"


def _copied(seen: Seen) -> None:
    assert (seen.folder / "day-7.txt").read_text() == "x\n"


def _unmet(seen: Seen) -> None:
    assert seen.states() == {"a": "not_started"}
    assert seen.nodes["onCancel"]["status"] == "succeeded"
    assert seen.run["params"] == [["P", "1"]]


def _reason_is_reported(seen: Seen) -> None:
    assert seen.states() == {"a": "not_started"}
    assert seen.out("onFailure") == "failed []"


def _propagated(seen: Seen) -> None:
    assert {name: row["error"] for name, row in seen.nodes.items() if name in {"b", "c"}} == {
        "b": "upstream failed",
        "c": "",
    }


def _called(seen: Seen) -> None:
    assert seen.out("b") == "A=1 B=x y|1"
    assert seen.json("a")["outputs"] == {"SEEN": '{"A":"1","B":"x y"}'}


def _called_secretly(seen: Seen) -> None:
    result = seen.json("a")
    assert (result["params"], result["outputs"]) == ("X=*******", {"BACK": "*******"})


def _limited(seen: Seen) -> None:
    assert seen.states() == {"slow": "failed", "after": "succeeded"}
    assert seen.nodes["slow"]["exit_code"] == 124
    assert [child.status for child in seen.children()] == ["aborted"]


FACTS = [
    Case(
        "T23 quotes",
        "beside a single quote a variable is the command's own, in env it is ours",
        """params: {P: "2"}
env: [QUERY: "day = '$DAY' or '${DAY}'", DAY: "7"]
steps:
  - name: awk
    command: "printf '1 a\\\\n3 c\\\\n' | awk '$1 > 2 {print $2}'"
  - name: query
    env: [Q: "p = '$P'"]
    command: printenv Q
""",
        outs(awk="c", query="p = '2'"),
        status="succeeded",
    ),
    Case(
        "T05 tilde",
        "a tilde at the beginning of an evaluated text is the home directory",
        """env: [HOME: /h, AT: "~/x", WORD: "${NOPE:-'a b'}"]
steps:
  - {name: a, command: 'echo "$AT $WORD"'}
""",
        outs(a="/h/x a b"),
        status="succeeded",
    ),
    Case(
        "T40 host",
        "an evaluated field may name any variable of the host, a process inherits few",
        """steps:
  - {name: a, env: [X: "<${ACCEPTANCE_HOST}>"], command: 'echo "$X[$ACCEPTANCE_HOST]"'}
  - {name: b, command: echo met, preconditions: [{condition: "$ACCEPTANCE_HOST", expected: host value}]}
""",
        outs(a="<host value>[]", b="met"),
        status="succeeded",
    ),
    Case(
        "T33 tries",
        "the log file of a step holds all its tries",
        """workingDir: "{dir}"
steps:
  - id: a
    name: flaky
    command: 'echo . >> n; echo "try $(wc -l < n)"; test $(wc -l < n) -ge 3'
    retryPolicy: {limit: 2, intervalSec: 0}
  - id: b
    name: poll
    command: 'echo . >> m; wc -l < m'
    repeatPolicy: {repeat: true, limit: 2, intervalSec: 0}
  - {name: read, command: "cat ${a.stdout}"}
  - {name: polled, command: "cat ${b.stdout}"}
""",
        _tries,
        status="succeeded",
    ),
    Case(
        "T33 masked",
        "the log file of a step holds no secret",
        """secrets: [{name: TOKEN, provider: file, key: "{dir}/token"}]
steps:
  - {id: a, name: say, command: printenv TOKEN}
  - {name: read, command: "tr s s < ${a.stdout}"}
  - {name: length, command: "wc -c < ${a.stdout}"}
""",
        _masked,
        files={"token": "s3cr3t"},
        status="succeeded",
    ),
    Case(
        "T33 merged",
        "with one log for both streams either name means it",
        """logOutput: merged
steps:
  - {id: a, name: say, command: "echo out; echo err >&2"}
  - {name: read, command: "cat ${a.stderr}"}
""",
        _merged,
        status="succeeded",
    ),
    Case(
        "T41 copy",
        "a command may name the file that stdout is copied to",
        """workingDir: "{dir}"
steps:
  - {name: a, command: echo x, stdout: "day-`expr 3 + 4`.txt"}
""",
        _copied,
        status="succeeded",
    ),
    Case(
        "T42 retry numbers",
        "numbers of a retry written as text see what the step sees",
        """env: [TRIES: "1"]
workingDir: "{dir}"
steps:
  - {name: a, command: "echo . >> n; exit 1", continueOn: failed, retryPolicy: {limit: "$TRIES", intervalSec: "0"}}
  - {name: b, command: wc -l < n}
""",
        outs(b="2"),
        status="partially_succeeded",
    ),
    Case(
        "T41 dotenv",
        "the directory of a step may be named in a dotenv file",
        """workingDir: "{dir}"
steps:
  - {name: a, workingDir: "$PLACE", command: 'basename "$PWD"'}
""",
        outs(a="below"),
        files={".env": "PLACE=below\n"},
        status="succeeded",
    ),
    Case(
        "T53",
        "a precondition that cannot be evaluated is not met, and the run keeps its parameters",
        """params: "P=1"
preconditions: [{condition: "`false`", expected: a}]
handlerOn: {abort: {command: "true"}, failure: {command: "true"}}
steps:
  - {name: a, command: "true"}
""",
        _unmet,
        status="aborted",
    ),
    Case(
        "A83 handlers",
        "handlers run without the secret that is missing",
        """secrets: [{name: TOKEN, provider: env, key: ACCEPTANCE_NOT_SET}]
handlerOn: {failure: {command: 'echo "$DAG_RUN_STATUS [$TOKEN]"'}}
steps:
  - {name: a, command: "true"}
""",
        _reason_is_reported,
        status="failed",
    ),
    Case(
        "T50",
        "the error of an aborted step is reported once, where it happened",
        """steps:
  - {name: a, command: "false"}
  - {name: b, command: "true"}
  - {name: c, command: "true"}
""",
        _propagated,
        status="failed",
    ),
    Case(
        "T54",
        "the time limit of a calling step stops the run it called",
        """steps:
  - {name: slow, call: sleeper, timeoutSec: 1, continueOn: failed}
  - {name: after, command: "true"}
---
name: sleeper
steps: [sleep 600]
""",
        _limited,
        status="partially_succeeded",
    ),
    Case(
        "T54 parallel",
        "out of time, those that did not begin yet do not",
        """steps:
  - {name: slow, call: sleeper, parallel: {items: [1, 2], maxConcurrent: 1}, timeoutSec: 1, continueOn: failed}
  - {name: after, command: "true"}
---
name: sleeper
steps: [sleep 600]
""",
        _limited,
        status="partially_succeeded",
    ),
    Case(
        "T76 params",
        "a called run knows all its parameters by name, and its caller how it was called",
        """steps:
  - {name: a, call: sub, params: {B: "x y"}, output: R}
  - {name: b, command: 'printf "%s|%s" "${R.params}" "$(printenv R | grep -c params)"'}
---
name: sub
params: "A=1 B=0"
steps: [{command: printenv DAGU_PARAMS_JSON, output: SEEN}]
""",
        _called,
        status="succeeded",
    ),
    Case(
        "T72 called",
        "a secret handed to a called run does not come back in what the step prints",
        """secrets: [{name: TOKEN, provider: file, key: "{dir}/token"}]
steps:
  - {name: a, call: sub, params: "X=$TOKEN"}
---
name: sub
params: "X=none"
steps: [{command: echo $X, output: BACK}]
""",
        _called_secretly,
        files={"token": "s3cr3t"},
        status="succeeded",
    ),
    Case(
        "T60",
        "an empty item of a parallel step is left out, one that comes out empty is not",
        """steps:
  - {name: a, call: sub, parallel: [x, "", "${NOPE}"], output: R}
  - {name: b, command: "echo ${R.summary.total}"}
---
name: sub
steps: [echo $1]
""",
        outs(b="2"),
        status="succeeded",
    ),
]
