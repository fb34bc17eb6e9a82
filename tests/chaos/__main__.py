"""``python -m tests.chaos``: run a campaign of random faults, and print what was found.

The seed decides all that is planned: the DAGs, the requests, the faults, and the times of both. The same seed gives the
same plan; the processes still take their own time, so a second campaign may find what the first did not.
"""

# ruff: noqa: T201 - it prints

import argparse
import random
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.campaign import Outcome, clustered, distributed, embedded, run_campaign
from tests.chaos.kinds import LANES
from tests.chaos.model import CLUSTERED, DISTRIBUTED, Plan
from tests.chaos.plan import RUNS_A_MINUTE, deployments_with, make_plan
from tests.chaos.report import report
from tests.golden.code import unpack_code
from tests.harness.broker_users import write_definitions
from tests.harness.servers import PostgresServer, RabbitCluster, RabbitServer

_ROOT = Path(__file__).resolve().parents[2]
_DEPLOYMENTS = tuple(LANES)
_RELEASE = "release"


def main() -> int:
    """Run the campaigns; return 1 if there was a violation."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="default: random")
    parser.add_argument("--minutes", type=float, default=5, help="how long each campaign lasts (default: 5)")
    parser.add_argument("--deployment", choices=[*_DEPLOYMENTS, "all"], default="all")
    parser.add_argument("--runs-a-minute", type=float, default=RUNS_A_MINUTE)
    parser.add_argument(
        "--pause",
        type=float,
        default=1.0,
        metavar="TIMES",
        help="how many times as long as usual there is no fault after one: more than 1 on a busy machine (default: 1)",
    )
    parser.add_argument(
        "--only", metavar="KIND", action="append", default=[], help="only faults of this kind (repeatable)"
    )
    parser.add_argument(
        "--earlier",
        metavar="COMMIT|release",
        help="also replace processes by those of this commit, or of the last release, for a while (not embedded)",
    )
    parser.add_argument("--keep", type=Path, help="an empty folder for logs and ledgers, which is kept")
    parser.add_argument("--plan", action="store_true", help="print the plan and run nothing")
    asked = parser.parse_args()
    chosen = _DEPLOYMENTS if asked.deployment == "all" else (asked.deployment,)
    try:
        deployments = deployments_with(asked.only, chosen, earlier=bool(asked.earlier))
    except ValueError as error:
        parser.error(f"argument --only: {error}")
    print(f"seed {asked.seed}", flush=True)
    ok = True
    for deployment in deployments:
        with ExitStack() as stack:
            home = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-chaos-")))
            folder = home / deployment
            ledger = folder / "ledger"
            ledger.mkdir(parents=True)
            home.chmod(0o755)
            plan = make_plan(
                asked.seed,
                deployment,
                asked.minutes * 60,
                ledger,
                runs_a_minute=asked.runs_a_minute,
                pause=asked.pause,
                earlier=bool(asked.earlier),
                only=asked.only,
            )
            if asked.plan:
                _print_plan(plan)
                continue
            earlier = _code_of(asked.earlier, folder / "earlier") if asked.earlier else None
            outcome = _run(plan, folder, ledger, stack, earlier)
        print(report(outcome), flush=True)
        ok = ok and not outcome.violations
    return 0 if ok else 1


def _code_of(commit: str, folder: Path) -> Path:
    """Write the code of a commit, or of the last release, to a new folder.

    Its processes use the packages that are installed now.
    """
    if commit == _RELEASE:
        return unpack_code(folder)
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=_ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def _run(plan: Plan, folder: Path, ledger: Path, stack: ExitStack, earlier: Path | None) -> Outcome:
    if plan.deployment == DISTRIBUTED:
        rabbit = stack.enter_context(RabbitServer())
        postgres = stack.enter_context(PostgresServer())
        target = stack.enter_context(distributed(folder, rabbit, postgres, earlier=earlier))
    elif plan.deployment == CLUSTERED:
        broker = stack.enter_context(RabbitCluster(write_definitions(folder / "users")))
        postgres = stack.enter_context(PostgresServer())
        target = stack.enter_context(clustered(folder, broker, postgres, earlier=earlier))
    else:
        target = stack.enter_context(embedded(folder))
    return run_campaign(plan, target, ledger, folder / "faults.jsonl")


def _print_plan(plan: Plan) -> None:
    for fault in plan.faults:
        print(f"{fault.at_s:8.2f} s  fault    {fault.kind}, target {fault.target}, for {fault.lasts_s} s")
    for request in plan.requests:
        print(f"{request.at_s:8.2f} s  request  {request.verb} {request.dag} {request.run_id} {request.queue}")
    for dag in plan.dags:
        print(f"--- {dag.name}\n{dag.spec}")


if __name__ == "__main__":
    sys.exit(main())
