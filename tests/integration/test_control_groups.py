"""Real control groups: where the processes of a command are, and that no group is left."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from shared.system.proc import own_control_group
from tests.harness.eventually import eventually

_SCENE = """
import json, os, sys, threading, time
from services.worker.process.guardian.cgroups import take_over
from services.worker.process.guardian_client import GuardianClient
from services.worker.process.guardian_process import GuardianProcess
from services.worker.process.step_users import StepUser

base = sys.argv[1]
take_over(base, {})
client = GuardianClient("m", lambda: None, GuardianProcess(group=base))

def run(name, user):
    process, found = command(name, user, "grep ^0:: /proc/self/cgroup; (grep ^0:: /proc/self/cgroup); "
                             "sleep 1000 >/dev/null 2>&1 & exit 3")
    left = process.tree_size()
    process.kill_tree()
    return {"groups": found, "code": process.result().code, "left": left}

def command(name, user, script):
    ended = threading.Event()
    mine, theirs = os.pipe()
    process = client.spawn(["/bin/sh", "-c", script], env={"PATH": os.environ["PATH"]}, cwd="/", stdout=theirs,
                           stderr=theirs, attempt=name, on_end=lambda _: ended.set(), user=user)
    os.close(theirs)
    assert ended.wait(60)
    with open(mine) as file:
        return process, file.read().split()

print(json.dumps([run(str(number), user) for number, user in enumerate((None, StepUser(39999, 39999), None))]))
command("killed", StepUser(39999, 39999), "kill -9 $PPID; sleep 1000")
give_up = time.monotonic() + 60
while time.monotonic() < give_up and any(name.startswith("step-") for name in os.listdir(base)):
    command("next", None, "true")
print(sum(name.startswith("step-") for name in os.listdir(base)))
client.close()
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A control group that the tests may manage."""
    mounted = own_control_group()
    if os.geteuid() != 0 or not os.access(mounted or "/none", os.W_OK):
        pytest.skip("control groups of version 2 can be managed by root only, and not on every machine")
    group = Path(mounted) / f"dagway-test-{uuid.uuid4().hex}"
    group.mkdir()
    yield group
    for each in [*group.glob("*/"), group]:
        eventually(partial(_removed, each))


def _removed(group: Path) -> None:
    try:
        group.rmdir()
    except OSError as error:  # a process in it has not ended yet
        raise AssertionError(str(error)) from error


def test_every_process_of_a_command_is_in_its_group(base: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _SCENE, str(base)], capture_output=True, text=True, timeout=300, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 2, ran.stdout
    told, left_by_a_killed_spawner = ran.stdout.splitlines()
    assert left_by_a_killed_spawner == "0"
    found = json.loads(told)
    for each in found:
        assert len(each["groups"]) == 2, each
        command, child = each["groups"]
        assert command == child
        assert f"/{base.name}/step-" in command
        assert (each["code"], each["left"]) == (3, 1)
    assert len({each["groups"][0] for each in found}) == len(found)
    assert [each.name for each in base.glob("*/")] == ["dagway"]
