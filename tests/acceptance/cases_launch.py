"""Rows about what surrounds a step's processes: its shell, its directory, the files its output goes to."""

from tests.acceptance.cases_text import outs
from tests.acceptance.world import Case, Seen

__all__ = ["LAUNCH"]


def _each_told(seen: Seen) -> None:
    assert seen.states() == {"a": "not_started"}
    prepare = next(row for row in seen.nodes.values() if row["kind"] == "prepare")
    first, second, third = prepare["unmet"]
    assert first == 'condition was not met: expected "b", got "a"'
    assert "command `exit 3` failed" in second
    assert third == ""
    assert seen.run["error"] == second


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
        "every condition of a workflow tells why it is not met, also beside one that cannot be evaluated",
        """preconditions:
  - {condition: a, expected: b}
  - {condition: "`exit 3`", expected: a}
  - {condition: a, expected: a}
steps:
  - {name: a, command: "true"}
""",
        _each_told,
        status="aborted",
    ),
]
