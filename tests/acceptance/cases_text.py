"""Cases of variables, parameters, conditions, output, logs and secrets."""

import json
from collections.abc import Callable

from tests.acceptance.world import Case, Seen, equal

__all__ = ["TEXT"]

Check = Callable[[Seen], None]


def outs(**expected: str) -> Check:
    """Return a check that each step printed this text, without surrounding blanks."""

    def check(seen: Seen) -> None:
        assert {name: seen.out(name) for name in expected} == expected

    return check


def _env_sees_earlier_env(seen: Seen) -> None:
    assert seen.out("cmd_1") == "12"


def _host_variables_are_filtered(seen: Seen) -> None:
    assert seen.nodes["hidden"]["exit_code"] == 1
    assert seen.out("shown") == "host value"


def _param_command_runs_once(seen: Seen) -> None:
    assert seen.out("cmd_1") == "7x"
    assert (seen.folder / "count").read_text() == "once\n"


def _params_violate_schema(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "not_started"}
    assert "parameter validation failed" in seen.run["error"]


def _params_as_json(seen: Seen) -> None:
    assert seen.out("cmd_1").splitlines() == ['{"a":1}', '{"a":1}']


def _unmet_condition_skips_dependents(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "skipped", "cmd_2": "skipped"}
    assert seen.nodes["cmd_2"]["error"] == "upstream skipped"


def _command_list_stops_at_failure(seen: Seen) -> None:
    node = seen.nodes["cmd_1"]
    assert seen.log("cmd_1") == "a\n"
    assert node["exit_code"] == 3
    assert "command 2 failed" in node["error"]


def _errexit_unless_own_shell(seen: Seen) -> None:
    assert seen.states() == {"strict": "failed", "own": "succeeded"}
    assert seen.out("own") == "x"


def _signal_gives_exit_code(seen: Seen) -> None:
    assert seen.nodes["cmd_1"]["exit_code"] == -1


def _output_is_limited(seen: Seen) -> None:
    assert "output exceeded maximum size limit of 10 bytes" in seen.nodes["cmd_1"]["error"]


def _output_keys(seen: Seen) -> None:
    outputs = {name: row["outputs"] for name, row in seen.nodes.items()}
    assert outputs == {"cmd_1": {"TOTAL_N": "1"}, "cmd_2": {"HIDDEN": "2"}, "cmd_3": {"PLAIN": "3"}}


def _reads_step_references(seen: Seen) -> None:
    assert seen.out("cmd_2").splitlines() == ["hello", "0"]


def _redirects_append(seen: Seen) -> None:
    assert (seen.folder / "out.txt").read_text() == "line\nline\n"
    assert (seen.folder / "deep/err.txt").read_text() == "bad\nbad\n"
    assert seen.log("cmd_1") == "line\nline\n"


def _logs_merged_or_apart(seen: Seen) -> None:
    assert seen.nodes["both"]["stdout"].endswith(".log")
    assert sorted(seen.log("both").split()) == ["err", "out"]
    assert seen.log("apart") == "out\n"
    assert seen.log("apart", "stderr") == "err\n"


def _secrets_are_masked(seen: Seen) -> None:
    assert seen.out("shown") == "*******"
    assert seen.out("file") == "*******"
    assert seen.nodes["kept"]["outputs"] == {"K": "*******"}
    assert "s3cr3t" not in seen.nodes["told"]["error"]
    assert seen.states()["told"] == "failed"
    stored = json.dumps([seen.run, list(seen.nodes.values())], default=str)
    assert "s3cr3t-value" not in stored
    assert "from-a-file" not in stored


def _missing_secret_fails_the_run(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "not_started"}
    assert 'environment variable "ACCEPTANCE_MISSING" is not set' in seen.run["error"]


def _special_variables(seen: Seen) -> None:
    found = dict(line.split("=", 1) for line in seen.out("cmd_1").splitlines())
    assert found["DAG_NAME"] == seen.run["dag_name"]
    assert found["DAG_RUN_ID"] == seen.run["dag_run_id"]
    assert found["DAG_RUN_STEP_NAME"] == "cmd_1"
    assert found["DAG_RUN_STEP_STDOUT_FILE"] == seen.nodes["cmd_1"]["stdout"]
    assert found["DAG_RUN_STEP_STDERR_FILE"] == seen.nodes["cmd_1"]["stderr"]
    assert found["DAG_RUN_LOG_FILE"]
    assert found["DAGU_RUN_ID"] == found["DAG_RUN_ID"]


def _step_dir_and_env(seen: Seen) -> None:
    where, value = seen.out("cmd_1").splitlines()
    assert where.endswith("/sub")
    assert value == "p"


TEXT = [
    Case("A20", "env order", 'env: [A: 1, B: "${A}2"]\nsteps: [echo $B]', _env_sees_earlier_env, status="succeeded"),
    Case(
        "A21",
        "dotenv precedence",
        "workingDir: {dir}\nenv: [A: e, C: c]\ndotenv: [more.env, missing.env]\nsteps: [echo $A $B $C]",
        outs(cmd_1="d m c"),
        files={".env": "A=d\nB=d\n", "more.env": "B=m\n"},
        status="succeeded",
    ),
    Case("A22", "env not seeing params", 'params: P=1\nenv: [E: "x${P}"]\nsteps: [echo $E]', outs(cmd_1="x")),
    Case(
        "A23",
        "what of the host's variables a step sees",
        """
env: [{WANTED: "${ACCEPTANCE_HOST}"}]
steps:
  - {name: hidden, command: printenv ACCEPTANCE_HOST, continueOn: failed}
  - {name: shown, command: printenv WANTED}
""",
        _host_variables_are_filtered,
        status="partially_succeeded",
    ),
    Case("A24", "positional params", 'params: "a b"\nsteps: [echo $1 $2]', outs(cmd_1="c b"), params="c"),
    Case("A25", "named params", 'params: [K: v]\nsteps: ["echo ${K}"]', outs(cmd_1="w"), params="K=w"),
    Case(
        "A25 place",
        "a positional beside a named one",
        'params: [K: v]\nsteps: ["echo ${K} $1"]',
        outs(cmd_1="v w"),
        params="w",
    ),
    Case(
        "A26",
        "params chain and command",
        'params: ["D=`echo once >> {dir}/count; echo 7`", "E=${D}x"]\nsteps: ["echo ${E}"]',
        _param_command_runs_once,
        status="succeeded",
    ),
    Case(
        "A27",
        "params schema",
        "workingDir: {dir}\nparams: {schema: schema.json, values: {n: 1}}\nsteps: [echo $n]",
        _params_violate_schema,
        params="n=abc",
        files={"schema.json": json.dumps({"properties": {"n": {"type": "integer"}}, "required": ["n"]})},
        status="failed",
    ),
    Case(
        "A27 ok",
        "params schema that holds, with a default",
        'workingDir: {dir}\nparams: {schema: schema.json, values: {n: 1}}\nsteps: ["echo ${n} ${m}"]',
        outs(cmd_1="5 9"),
        params="n=5",
        files={
            "schema.json": json.dumps(
                {"properties": {"n": {"type": "integer"}, "m": {"type": "integer", "default": 9}}}
            )
        },
        status="succeeded",
    ),
    Case(
        "A28",
        "params JSON env",
        "steps: [printenv DAGU_PARAMS_JSON DAG_PARAMS_JSON]",
        _params_as_json,
        params='{"a":1}',
        status="succeeded",
    ),
    Case(
        "A31",
        "precondition of a step",
        'params: X=n\nsteps: [{command: echo a, preconditions: [{condition: "${X}", expected: y}]}, echo b]',
        _unmet_condition_skips_dependents,
        status="succeeded",
    ),
    Case(
        "A32",
        "precondition by pattern, negated, and by command",
        r"""
type: graph
steps:
  - {name: digits, command: echo a, preconditions: [{condition: "`printf 'x\\n12\\n'`", expected: "re:^\\d+$"}]}
  - {name: not, command: echo b, precondition: {condition: "12", expected: "re:^\\d+$", negate: true}}
  - {name: classes, command: echo c, preconditions: [{condition: "42", expected: "re:^[[:digit:]]+\\z"}]}
  - {name: program, command: echo c, preconditions: ["test -d /", "test -d /tmp"]}
""",
        lambda seen: equal(
            seen.states(), {"digits": "succeeded", "not": "skipped", "classes": "succeeded", "program": "succeeded"}
        ),
        status="succeeded",
    ),
    Case(
        "A38",
        "command list",
        'steps: [{command: ["echo a", "exit 3", "echo c"]}]',
        _command_list_stops_at_failure,
        status="failed",
    ),
    Case(
        "A39",
        "script with shebang, and a script for a command",
        """
steps:
  - {name: shebang, script: "#!/usr/bin/env python3\\nprint(1+1)"}
  - {name: given, command: python3 -u, script: "print(2+2)"}
""",
        outs(shebang="2", given="4"),
        status="succeeded",
    ),
    Case(
        "A40",
        "errexit",
        """
steps:
  - {name: strict, script: "false\\necho x", continueOn: failed}
  - {name: own, shell: bash, script: "false\\necho x"}
""",
        _errexit_unless_own_shell,
        status="partially_succeeded",
    ),
    Case("A41", "signal exit", "steps: [kill -9 $$]", _signal_gives_exit_code, status="failed"),
    Case(
        "A42",
        "output and trim",
        r"""steps: [{command: "printf '  a\\nb \\n'", output: O}, {script: "cat <<'END'\n${O}\nEND"}]""",
        outs(script_2="a\nb"),
        status="succeeded",
    ),
    Case(
        "A43",
        "output limit",
        "maxOutputSize: 10\nsteps: [{command: printf 12345678901, output: O}]",
        _output_is_limited,
        status="failed",
    ),
    Case(
        "A44",
        "output scope",
        """
type: graph
steps:
  - {name: a, command: echo x, output: O}
  - {name: b, command: "sleep 1; printenv O || echo unset"}
  - {name: c, command: printenv O, depends: a}
""",
        outs(b="unset", c="x"),
        status="succeeded",
    ),
    Case(
        "A45",
        "output object",
        """
steps:
  - {command: echo 1, output: {name: TOTAL_N, key: n}}
  - {command: echo 2, output: {name: HIDDEN, omit: true}}
  - {command: echo 3, output: $PLAIN}
""",
        _output_keys,
        status="succeeded",
    ),
    Case(
        "A46",
        "JSON path",
        """steps: [{command: 'echo ''{"a":{"b":[{"c":"z"}]}}''', output: O}, "echo ${O.a.b[0].c}"]""",
        outs(cmd_2="z"),
        status="succeeded",
    ),
    Case(
        "T39",
        "JSON path into a variable of env, in a command and a script",
        """
env: [{J: '{"k":"v"}'}]
steps: ['echo ${J.k}', {script: "printf '%s\n' '${J.k}'"}]
""",
        outs(cmd_1="v", script_2="v"),
        status="succeeded",
    ),
    Case(
        "A47",
        "step references",
        'steps: [{id: s, command: echo hello}, "cat ${s.stdout}; echo ${s.exit_code}"]',
        _reads_step_references,
        status="succeeded",
    ),
    Case(
        "A48",
        "quoting",
        r"""steps: [{command: "printf 'a\\nb'", output: O}, "printf '%s' \"${O}\""]""",
        outs(cmd_2="a\\nb"),
        status="succeeded",
    ),
    Case(
        "A49",
        "stdout and stderr redirected, appended by a second execution",
        """
workingDir: {dir}
steps:
  - command: echo line; echo bad >&2
    stdout: out.txt
    stderr: deep/err.txt
    repeatPolicy: {repeat: true, limit: 2}
""",
        _redirects_append,
        status="succeeded",
    ),
    Case(
        "A50",
        "merged logs",
        """
logOutput: merged
steps:
  - {name: both, command: echo out; echo err >&2}
  - {name: apart, logOutput: separate, command: echo out; echo err >&2}
""",
        _logs_merged_or_apart,
        status="succeeded",
    ),
    Case(
        "A83",
        "secrets",
        """
workingDir: {dir}
secrets:
  - {name: T, provider: env, key: ACCEPTANCE_SECRET}
  - {name: F, provider: file, key: secret.txt}
steps:
  - {name: shown, command: echo $T}
  - {name: file, command: printf %s "$F"}
  - {name: kept, command: echo $T, output: K}
  - {name: told, command: "echo $T >&2; exit 1"}
""",
        _secrets_are_masked,
        files={"secret.txt": "from-a-file\n"},
        status="failed",
    ),
    Case(
        "A83 missing",
        "a secret that cannot be had",
        "secrets: [{name: T, provider: env, key: ACCEPTANCE_MISSING}]\nsteps: [echo $T]",
        _missing_secret_fails_the_run,
        status="failed",
    ),
    Case("A84", "special env", "steps: ['printenv | grep ^DAG']", _special_variables, status="succeeded"),
    Case(
        "A92",
        "step dir and env",
        'workingDir: {dir}\nparams: P=p\nsteps: [{workingDir: sub, env: [A: "${P}"], command: pwd; echo $A}]',
        _step_dir_and_env,
        status="succeeded",
    ),
    Case(
        "T28",
        "shell and program without one",
        """
shell: bash -e
steps:
  - {name: arrays, command: "a=(1 2); echo ${#a[@]}"}
  - {name: direct, shell: direct, command: "echo $HOME *"}
""",
        lambda seen: equal(seen.out("arrays"), "2"),
        status="succeeded",
    ),
    Case(
        "T28 words",
        "commands in back-quotes are part of a word where no shell splits",
        r"""
steps:
  - {name: direct, shell: direct, command: "echo `echo a b` x`echo c  d`y"}
""",
        lambda seen: equal(seen.out("direct"), "a b xc dy"),
        status="succeeded",
    ),
]
