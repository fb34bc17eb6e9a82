"""Write docs/operations/verify.md from the checks: ``python -m tests.harness.verify_doc``."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

from shared.store.checks.base import MARGIN
from shared.store.checks.verify import CHECKS

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "verify.md"

_HEAD = f"""\
# Verify a system

Written by `python -m tests.harness.verify_doc` from `shared/store/checks`; a test compares the two.

`dagway verify` checks the database against the [guarantees](../guarantees.md). It only reads, in one snapshot, so it
can run while the system works, and with the gateway's database user:

```sh
docker compose exec -T api dagway verify
```

```sh
kubectl -n dagway exec deployment/dagway-api -- dagway verify
```

Without `DAGWAY_DATABASE_URL` it reads the database of `dagway up` in `DAGWAY_DATA_DIR`.

| exit code | meaning |
| --- | --- |
| 0 | no violation |
| 1 | at least one violation; each is printed with its ids and what to do |
| 2 | the database could not be checked: it is unavailable, empty or has an earlier schema, or a setting is invalid |

`--json` prints one JSON object, `--check NAME` runs only that check, and `--limit` says how many violations of each
check are printed.

Run it after an outage, after a restore, and before and after an upgrade. It reads the whole history of runs, so its
time grows with the history; on Postgres it needs no lock, but keeps one snapshot open meanwhile.

With `DAGWAY_VERIFY_EVERY=24h`, one of the schedulers runs the same checks every 24 hours. It sets the metric
`dagway_verify_violations`, and [an alert](../runbooks/DagwayViolations.md) fires if it finds something. The check uses
the time of that scheduler, so on a large history run the command elsewhere instead.

## What is on its way

A live system always has something on its way: a message that was written and is not sent yet, a lost worker whose
lease has not been judged. A check waits for a **grace** before it calls that a violation: two leases
(`DAGWAY_LEASE_S`, or `--lease-s`, which must be that of the schedulers) and {MARGIN.seconds} seconds. Only time in
which a scheduler ran counts, so a stopped system can be checked as well: nothing becomes overdue while nobody could
act.

## What it cannot see

Commands that the broker holds and no scheduler has recorded yet, dead letters (`dagway dead-letters list`), and what
a step did outside Dagway.

## The checks

Each check proves a part of one invariant: I1 one outcome for each command, I2 one fire for each scheduled time, I3
one open attempt, I4 fencing, I5 one end, I6 order of steps, I7 nothing missing in the outbox and the history, I8
executions, I9 nothing stuck, I10 whole logs.
"""
_REMEDIES = """
## If a check fails

`dagway verify` prints the remedy with each violation.

"""


def page() -> str:
    """Return the text of docs/operations/verify.md."""
    rows = "".join(f"| `{check.name}` | {check.invariant} | {check.proves} |\n" for check in CHECKS)
    return f"{_HEAD}\n| check | invariant | what holds |\n| --- | --- | --- |\n{rows}{_REMEDIES}{''.join(_remedies())}"


def _remedies() -> Iterator[str]:
    """Yield each remedy once, with all its checks."""
    for remedy in dict.fromkeys(check.remedy for check in CHECKS):
        names = ", ".join(f"`{check.name}`" for check in CHECKS if check.remedy == remedy)
        yield fill(f"- {names}: {remedy}", 118, subsequent_indent="  ", break_on_hyphens=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
