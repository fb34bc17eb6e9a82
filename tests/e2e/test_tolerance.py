"""Files that Dagu runs in spite of a step that must fail run here too, with the same values; on both deployments."""

from collections.abc import Callable

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
