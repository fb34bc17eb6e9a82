"""The container executor against real engines, started by the tests."""

import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.control import StopAttempt
from shared.contracts.events import AttemptFinished
from shared.language.model import Step, StepCommand
from tests.harness.counterparts import HttpCounterpart
from tests.harness.engines import ENGINES, IMAGE, Engine, root_file_system
from tests.harness.eventually import eventually
from tests.harness.needs import need
from tests.harness.registry import Registry
from tests.harness.worker_rig import Rig, task


@pytest.fixture(scope="module", params=ENGINES, ids=lambda kind: kind.program)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    kind: type[Engine] = request.param
    need(kind.program)
    with tempfile.TemporaryDirectory(prefix="dwd") as folder, kind(Path(folder)) as made:
        yield made


@pytest.fixture
def rig(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    with Rig(tmp_path / "worker") as made:
        yield made
    engine.clear()


def step(*argvs: tuple[str, ...], container: Any = None, **fields: Any) -> Step:
    commands = tuple(StepCommand(text=" ".join(argv), argv=argv) for argv in argvs)
    return Step(name="s", type="docker", commands=commands, container=container, **fields)


def sh(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


def test_a_step_has_the_streams_exit_code_env_and_directory_of_its_container(rig: Rig, engine: Engine) -> None:
    box = {"image": IMAGE, "env": ["A=own ${P}"], "workingDir": "/proc/self/task"}
    one = step(
        sh("env | grep ^A=; env | grep ^B=; ls; echo err >&2; exit 3"),
        container=box,
        env=(("A", "step"), ("B", "step")),
    )
    finished = rig.run(task(one, params=(("P", "v"),)))

    assert (finished.outcome, finished.exit_code) == ("failed", 3)
    assert rig.log(finished, "stdout") == b"A=own v\nB=step\n1\n"
    assert rig.log(finished, "stderr") == b"err\n"
    assert finished.error.endswith("exit status 3\nrecent stderr (tail):\nerr")
    assert engine.names() == []


def test_commands_are_expanded_with_the_variables_of_their_container(rig: Rig, engine: Engine) -> None:
    box = {"image": IMAGE, "env": ["OWN=mine", "BOTH=container"]}
    say = sh('echo "$OWN $BOTH $(echo $OWN)$NONE."')

    alone = rig.run(task(step(say, container=box, env=(("BOTH", "step"),))))
    shared = rig.run(task(step(say), token="t2", options={"container": box}))

    assert rig.log(alone, "stdout") == b"mine step mine.\n"
    assert rig.log(shared, "stdout") == b"mine container mine.\n"


def test_several_commands_share_one_container_and_stop_at_the_first_failure(rig: Rig, engine: Engine) -> None:
    finished = rig.run(
        task(step(sh("echo x > /tmp/f"), ("cat", "/tmp/f"), sh("exit 4"), ("id",), container={"image": IMAGE}))
    )

    assert rig.log(finished, "stdout") == b"x\n"
    assert (finished.exit_code, "command 3 failed: exit status 4" in finished.error) == (4, True)
    assert engine.names() == []


def test_volumes_user_network_and_name_are_as_written(rig: Rig, engine: Engine) -> None:
    (rig.work_dir() / "in").mkdir()
    (rig.work_dir() / "in" / "f").write_text("shared\n")
    box: dict[str, Any] = {"image": IMAGE, "volumes": ["./in:/in:ro"], "user": "7:8", "network": "none", "name": "mine"}
    box |= {"keepContainer": True}
    finished = rig.run(task(step(sh("cat /in/f; id -u; id -g; touch /in/g"), container=box)))

    assert rig.log(finished, "stdout") == b"shared\n7\n8\n"
    assert b"Read-only" in rig.log(finished, "stderr")
    assert engine.names() == ["mine"]
    made = engine.client.containers.get("mine").attrs
    assert made["HostConfig"]["NetworkMode"] == "none"
    assert (made["Config"]["Labels"]["dagway.run"], made["Config"]["Labels"]["dagway.step"]) == ("r1", "s")


@pytest.fixture
def bridge(engine: Engine) -> Iterator[str]:
    """A user-defined network without access to other networks."""
    made = engine.client.networks.create("theirs", internal=True)
    yield "theirs"
    engine.clear()
    made.remove()


def test_a_container_of_a_users_network_finds_others_there_by_name(rig: Rig, engine: Engine, bridge: str) -> None:
    engine.client.containers.run(IMAGE, ["sleep", "600"], name="peer", network=bridge, detach=True)
    box: dict[str, Any] = {"image": IMAGE, "network": bridge, "ports": ["127.0.0.1:8080:80"], "keepContainer": True}
    finished = rig.run(task(step(("getent", "hosts", "peer"), container={**box, "name": "mine"})))

    peer, mine = (engine.client.containers.get(name).attrs for name in ("peer", "mine"))
    address = peer["NetworkSettings"]["Networks"][bridge]["IPAddress"]
    assert rig.log(finished, "stdout").decode().split()[0] == address, finished.error
    assert list(mine["NetworkSettings"]["Networks"]) == [bridge]
    assert mine["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}


def test_a_container_may_have_the_hosts_network(rig: Rig) -> None:
    with HttpCounterpart() as server:
        words = ("grep", "-c", f"0100007F:{server.port:04X} ", "/proc/net/tcp")
        finished = rig.run(task(step(words, container={"image": IMAGE, "network": "host"})))

    assert rig.log(finished, "stdout") == b"1\n", finished.error


def test_commands_in_a_running_container_leave_it_running(rig: Rig, engine: Engine) -> None:
    engine.client.containers.run(IMAGE, ["sleep", "600"], name="theirs", detach=True)
    finished = rig.run(task(step(sh("env | grep ^A=; exit 5"), container={"exec": "theirs", "env": ["A=1"]})))
    by_name = rig.run(task(step(("id", "-u"), container="theirs")))

    assert (finished.exit_code, rig.log(finished, "stdout")) == (5, b"A=1\n")
    assert rig.log(by_name, "stdout") == b"0\n"
    assert engine.running("theirs") == ["sleep 600"]


def test_the_legacy_form_is_understood(rig: Rig, engine: Engine) -> None:
    one = step(sh("echo $HOSTNAME"), config={"image": IMAGE, "autoRemove": True, "pull": "never", "workingDir": "/tmp"})

    assert rig.run(task(one)).outcome == "succeeded"
    assert engine.names() == []


def test_the_legacy_form_takes_settings_in_the_engines_words(rig: Rig, engine: Engine) -> None:
    (rig.work_dir() / "f").write_text("bound\n")
    config: dict[str, Any] = {
        "image": IMAGE,
        "autoRemove": False,
        "container": {"env": ["A=1"], "workingDir": "/tmp", "Hostname": "box", "labels": {"dagway.run": "other"}},
        "host": {"binds": [f"{rig.work_dir()}/f:/f:ro"], "NetworkMode": "none", "extraHosts": ["near:10.0.0.9"]},
    }
    finished = rig.run(task(step(sh("cat /f; pwd; echo $A; grep -c near /etc/hosts"), config=config)))

    assert rig.log(finished, "stdout") == b"bound\n/tmp\n1\n1\n"
    [name] = engine.names()
    made = engine.client.containers.get(name).attrs
    assert (made["HostConfig"]["NetworkMode"], made["Config"]["Hostname"]) == ("none", "box")
    assert made["Config"]["Labels"]["dagway.run"] == "r1"


def test_a_named_container_of_an_image_is_created_unless_it_runs(rig: Rig, engine: Engine) -> None:
    config = {"image": IMAGE, "containerName": "named", "exec": {"user": "7", "workingDir": "/tmp", "env": ["A=1"]}}
    one = step(sh("id -u; pwd; echo $A"), config=config)

    made = rig.run(task(one))
    assert made.error == ""
    assert (rig.log(made, "stdout"), engine.names()) == (b"7\n/tmp\n1\n", [])

    engine.client.containers.run(IMAGE, ["sleep", "600"], name="named", detach=True)
    inside = rig.run(task(one, token="t2"))
    assert rig.log(inside, "stdout") == b"7\n/tmp\n1\n"
    assert engine.running("named") == ["sleep 600"]


def test_the_steps_of_a_run_share_the_dags_container(rig: Rig, engine: Engine) -> None:
    options = {"container": {"image": IMAGE, "env": ["A=dag"]}}
    for number in (1, 2):
        rig.give(task(step(sh(f"echo {number} > /tmp/f{number}")), token=f"t{number}", options=options))
    assert [rig.finished(f"t{number}").error for number in (1, 2)] == ["", ""]

    finished = rig.run(
        task(step(sh("cat /tmp/f1 /tmp/f2; env | grep ^A=; env | grep ^B="), env=(("B", "step"),)), options=options)
    )

    assert rig.log(finished, "stdout") == b"1\n2\nA=dag\nB=step\n"
    assert engine.names() == ["dagway-run-d-r1"]


def test_a_taken_name_and_a_missing_image_are_failures(rig: Rig, engine: Engine) -> None:
    engine.client.containers.run(IMAGE, ["sleep", "600"], name="taken", detach=True)

    own = rig.run(task(step(("id",), container={"image": IMAGE, "name": "taken"})))
    shared = rig.run(task(step(("id",)), options={"container": {"image": IMAGE, "name": "taken"}}))
    absent = rig.run(task(step(("id",), container={"image": "localhost/none:1", "pullPolicy": "never"})))

    assert "in use" in own.error
    assert shared.error.endswith(
        "another container has the name 'taken', and does not belong to this run: choose another name"
    )
    assert (absent.outcome, absent.exit_code) == ("failed", 1)
    assert "no such image" in absent.error.lower()
    assert engine.running("taken") == ["sleep 600"]


def test_a_background_container_must_become_ready(rig: Rig, engine: Engine) -> None:
    box = {"image": IMAGE, "startup": "command", "command": ["sh", "-c", "echo up; sleep 600"], "logPattern": "^up"}
    ready = rig.run(task(step(("id", "-u"), container=box)))
    dead = rig.run(task(step(("id",), container={**box, "command": ["sh", "-c", "exit 6"]})))

    assert rig.log(ready, "stdout") == b"0\n"
    assert "ended before it was ready: exit code 6" in dead.error
    assert engine.names() == []


TRAP = "trap 'echo bye; exit 0' TERM; echo up; sleep 600 & wait"


def timed_out(rig: Rig, one: Step) -> AttemptFinished:
    """Run a step until its time limit, which includes the container's start: that takes long on a busy machine."""
    for limit_s in (2, 10):
        finished = rig.run(task(one, token=f"t{limit_s}", timeout_s=limit_s))
        if rig.log(finished, "stdout"):
            return finished
    return rig.run(task(one, token="t40", timeout_s=40))


@pytest.mark.parametrize("how", ["stop", "timeout"])
@pytest.mark.parametrize("where", ["own", "several", "theirs"])
def test_a_stop_sends_the_command_its_signal(rig: Rig, engine: Engine, how: str, where: str) -> None:
    engine.client.containers.run(IMAGE, ["sleep", "601"], name="theirs", detach=True)
    argvs = [sh(TRAP), *([("id",)] if where == "several" else [])]
    one = step(*argvs, container="theirs" if where == "theirs" else {"image": IMAGE})
    if how == "stop":
        rig.give(task(one, token="t"))
        eventually(lambda: any(chunk.data == b"up\n" for chunk in rig.logs("t")))
        rig.broadcast("worker.w1", StopAttempt(token="t"))
        finished = rig.finished("t")
    else:
        finished = timed_out(rig, one)

    assert finished.outcome == ("aborted" if how == "stop" else "timed_out")
    assert b"up\n" in rig.log(finished, "stdout")
    eventually(lambda: engine.names() == ["theirs"])
    eventually(lambda: engine.running("theirs") == ["sleep 601"])


def test_a_container_that_ignores_the_signal_is_killed_after_the_grace(rig: Rig, engine: Engine) -> None:
    one = step(sh("trap '' TERM; echo up; while :; do sleep 1; done"), container={"image": IMAGE})
    rig.give(task(one, token="t", stop_grace_s=1))
    eventually(lambda: any(chunk.data == b"up\n" for chunk in rig.logs("t")))

    rig.broadcast("worker.w1", StopAttempt(token="t"))

    assert rig.finished("t").outcome == "aborted"
    assert engine.names() == []


@pytest.fixture
def registry(engine: Engine) -> Iterator[Registry]:
    with Registry(root_file_system()) as made:
        yield made
        engine.client.images.remove(made.image, force=True)


def test_images_are_pulled_as_the_policy_says_with_the_registrys_password(
    rig: Rig, engine: Engine, registry: Registry
) -> None:
    auths = {registry.host: {"username": registry.user, "password": "${W}"}}

    def run(policy: str, **options: Any) -> str:
        box = {"image": registry.image, "pullPolicy": policy}
        finished = rig.run(task(step(("id", "-u"), container=box), params=(("W", registry.password),), options=options))
        return finished.error or rig.log(finished, "stdout").decode()

    assert "no such image" in run("never", registry_auths=auths).lower()
    refused = run("missing")
    assert any(word in refused for word in ("no basic auth credentials", "authorization", "unauthorized")), refused
    assert (run("missing", registry_auths=auths), registry.pulled) == ("0\n", 1)
    assert (run("missing"), registry.pulled) == ("0\n", 1)
    assert run("always", registry_auths=auths) == "0\n"
    assert registry.pulled > 1
    assert run("never") == "0\n"
    assert registry.refused > 0
    assert engine.names() == []


def test_the_registrys_password_may_come_from_the_hosts_docker_configuration(
    rig: Rig, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {registry.host: {"auth": word}}}))

    finished = rig.run(task(step(("id", "-u"), container={"image": registry.image})))

    assert rig.log(finished, "stdout") == b"0\n", finished.error


def test_a_platform_that_the_image_is_not_for_is_refused(rig: Rig, engine: Engine) -> None:
    box = {"image": IMAGE, "pullPolicy": "never", "platform": "linux/s390x"}
    finished = rig.run(task(step(("id", "-u"), container=box)))

    assert finished.outcome == "failed"
    # Docker says what it is for, Podman that there is none.
    assert "platform" in finished.error or "no such image" in finished.error
    assert engine.names() == []
