"""Write docs/mistakes.md: the commonest mistakes, each with what ``dagway validate`` really says."""

import sys
from pathlib import Path

from shared.language.load import load

TARGET = Path(__file__).parents[1] / "docs" / "mistakes.md"

MISTAKES = [
    ("A key is misspelt", "steps:\n  - command: echo hi\n    dependson: first\n"),
    (
        "A dependency that is not there",
        "steps:\n  - {name: fetch, command: ./fetch.sh}\n  - {name: load, command: ./load.sh, depends: fetsh}\n",
    ),
    ("Two steps with one name", "steps:\n  - {name: build, command: make}\n  - {name: build, command: make test}\n"),
    (
        "Steps that wait for each other",
        "type: graph\nsteps:\n  - {name: a, command: ./a.sh, depends: b}\n  - {name: b, command: ./b.sh, depends: a}\n",
    ),
    ("A number in quotes", 'timeoutSec: "60"\nsteps:\n  - echo hi\n'),
    ("A schedule without quotes", "schedule: * * * * *\nsteps:\n  - echo hi\n"),
    ("A cron expression with a field too many", 'schedule: "0 0 6 * * *"\nsteps:\n  - echo hi\n'),
    ("A retry without its interval", "steps:\n  - command: ./flaky.sh\n    retryPolicy: {limit: 3}\n"),
    (
        "A repetition without a condition",
        "steps:\n  - command: ./poll.sh\n    repeatPolicy: {repeat: until, intervalSec: 5}\n",
    ),
    ("Tabs for indentation", "steps:\n\t- echo hi\n"),
    ("A key twice", "name: one\nname: two\nsteps:\n  - echo hi\n"),
    ("Quotes that are not closed", "steps:\n  - command: echo \"it's\n"),
    ("A script for an executor that takes none", "steps:\n  - type: archive\n    script: |\n      tar czf x.tgz .\n"),
    ("A local workflow without a name", "steps:\n  - call: child\n---\nsteps:\n  - echo hi\n"),
    ("A variable without its sign", "env:\n  - STAGE prod\nsteps:\n  - echo $STAGE\n"),
    ("A name with blanks", 'name: "nightly report"\nsteps:\n  - echo hi\n'),
]


def text() -> str:
    """Return the whole document."""
    parts = [
        "# Common mistakes\n\nWhat `dagway validate` says to each. This page is generated: `python -m scripts.mistakes`.\n"  # noqa: E501 - a spec reads best in one piece
    ]
    for title, spec in MISTAKES:
        said = "\n".join(f"workflow.yaml: {issue}" for issue in load(spec, file_name="workflow.yaml").issues)
        parts.append(f"## {title}\n\n```yaml\n{spec}```\n\n```text\n{said}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(text())
    sys.stdout.write(f"{TARGET}: {len(MISTAKES)} mistakes\n")
