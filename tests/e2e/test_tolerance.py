"""Files and values that could keep a step from starting or ending do not; on both deployments."""

from collections.abc import Callable

import pytest

from tests.harness.client import Client

_SPEC = """\
env:
  - N: 1e3
  - HASH: 7e9
steps:
  - {name: fine, command: 'echo $N ${HASH} $1', output: SAID}
  - {name: no request, type: http, continueOn: {failure: true}}
  - {name: no action, type: gha, continueOn: {failure: true}}
  - {name: after, command: echo after}
params: 2e5
"""


def test_a_step_that_must_fail_fails_at_run_time_and_the_others_run(client: Client, go: Callable[..., str]) -> None:
    name = go(_SPEC, "partially_succeeded")

    assert client.steps(name) == {
        "fine": "succeeded",
        "no request": "failed",
        "no action": "failed",
        "after": "succeeded",
    }
    assert client.outputs(name) == {"said": "1e3 7e9 2e5"}
    assert all(node["error"] for node in client.run(name)["nodes"] if node["statusLabel"] == "failed")


def test_escapes_in_json_that_no_text_can_hold_do_not_keep_a_step_from_ending(
    client: Client, dag: Callable[[str], str], go: Callable[..., str]
) -> None:
    called = dag("params: [X: none]\nsteps:\n  - {name: get, command: 'echo got $X', output: GOT}\n")
    name = go(
        "params: [A: none]\n"
        "steps:\n"
        "  - name: tell\n"
        "    script: |\n"
        "      cat <<'END'\n"
        r'      {"one": "n\u0000m\ud800", "two": ["\ud800"]}'
        "\n"
        "      END\n"
        "    output: TOLD\n"
        f"  - {{name: by output, call: {called}, params: 'X=${{TOLD.one}}', output: ONE}}\n"
        f"  - {{name: by list, call: {called}, params: 'X=${{TOLD.two}}', output: TWO}}\n"
        f"  - {{name: by parameter, call: {called}, params: 'X=${{A}}', output: THREE}}\n",
        params=r'{"A": "n\u0000m", "half\ud800": "v"}',
    )

    ended = {node["step"]["name"]: node["statusLabel"] for node in client.run(name)["nodes"]}
    assert ended == dict.fromkeys(["tell", "by output", "by list", "by parameter"], "succeeded")
    assert "got nm" in str(client.outputs(name))


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("steps: [{script: \"printf 'a\\\\0b' >&2\\nexit 3\"}]", "exit status 3\nrecent stderr (tail):\nab"),
        ("steps: [{call: none, params: \"X=`printf 'a\\\\0b' >&2; exit 3`\"}]", "failed: exit status 3: ab"),
        ("params: [P: \"`printf 'a\\\\0b' >&2; exit 3`\"]\nsteps: [echo $P]", ""),
    ],
    ids=["a step", "a call", "parameters"],
)
def test_a_nul_on_stderr_does_not_keep_a_failure_from_being_recorded(
    client: Client, go: Callable[..., str], spec: str, error: str
) -> None:
    (node,) = client.run(go(spec, "failed"))["nodes"]

    assert node.get("error", "").endswith(error)


def test_a_sub_run_gets_what_a_command_prints_without_its_nul(
    client: Client, dag: Callable[[str], str], go: Callable[..., str]
) -> None:
    called = dag("params: [X: none]\nsteps:\n  - {name: get, command: 'test $X = ab'}\n")
    go(
        f"params: [P: \"`printf 'a\\\\0b'`\"]\n"
        f"steps:\n"
        f"  - {{name: by parameter, call: {called}, params: 'X=${{P}}'}}\n"
        f"  - {{name: by command, call: {called}, params: \"X=`printf 'a\\\\0b'`\"}}\n"
    )
