"""Commands on another host, through the OpenSSH client.

Host keys are checked unless ``strictHostKey`` is false. ``~/.ssh/config`` is not read, so a step behaves the same on
every worker. Killing the client would leave the remote command running. So each command runs together with a watcher
process on the remote host, which ends the command and its descendants when the connection is lost.
Source: docs/executors.md#details-of-each-type.
"""

import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.worker.executors.base import Job, StepIO
from services.worker.executors.results import process_result
from services.worker.executors.step_values import evaluate
from services.worker.process.outcome import ProcessExit, Result
from services.worker.process.shells import is_read_by_posix
from shared.errors import InvalidInput
from shared.ids import new_token
from shared.language.expansion.expand import expand, expand_text
from shared.language.expansion.shell_text import shell_command
from shared.language.model import StepCommand

__all__ = ["SshExecutor"]

_SSH_FAILED = 255
_CLOSED = "the server closed the connection, or the command itself exited with 255"
_CONNECT_S = 15
_ALIVE_S = 15
_PASSWORD = "DAGWAY_SSH_PASSWORD"
_ASKPASS = f"#!/bin/sh\nprintf '%s\\n' \"${_PASSWORD}\"\n"

_WATCHED = """exec 3<&0 </dev/null
m=DAGWAY_SSH=$1; shift
if command -v setsid >/dev/null 2>&1; then s=setsid g=-; else s= g=; fi
env "$m" $s "$@" 3<&- & p=$!; g=$g$p
( exec >/dev/null 2>&1; cat <&3; trap '' TERM; kill -TERM "$g"; i=0
  while [ $i -lt 50 ] && kill -0 "$g"; do sleep 0.1; i=$((i+1)); done; kill -KILL "$g"
  for f in $(grep -ls "$m" /proc/[0-9]*/environ); do f=${f%/environ}; kill -KILL "${f#/proc/}"; done ) &
w=$!
exec 3<&-
wait $p; c=$?
kill $w 2>/dev/null
exit $c
"""
"""The script that runs on the remote host in ``sh``. Its standard input ends when the connection is lost.

Arguments: a mark, which is set in the environment of the command's processes, then the words of the command.
"""


_BY_LOGIN_SHELL = 'exec "${SHELL:-sh}" -c "$1"'


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    user: str
    port: str
    key: str
    password: str
    strict: bool
    known_hosts: str
    shell: tuple[str, ...]

    @classmethod
    def of(cls, job: Job) -> "_Target":
        """Read the step's config, or the DAG's ``ssh`` if the step has none. Raises ``InvalidInput``."""
        given: dict[str, Any] = evaluate(job, job.step.config or job.options.get("ssh") or {})
        host = str(given.get("host") or given.get("ip") or "")
        user = str(given.get("user") or "")
        port = str(given.get("port") or "22")
        if not host or host.startswith("-") or user.startswith("-") or not port.isdecimal():
            raise InvalidInput(
                f"invalid ssh target (host {host!r}, user {user!r}, port {port!r}): host is required, host and user "
                "must not begin with -, port must be a number"
            )
        home = Path(job.environment.process.get("HOME", "~"))
        hosts = str(given.get("knownHostFile") or "~/.ssh/known_hosts")
        return cls(
            host=host,
            user=user,
            port=port,
            key=_at_home(str(given.get("key") or ""), home),
            password=str(given.get("password") or ""),
            strict=str(given.get("strictHostKey", True)).lower() != "false",
            known_hosts=_at_home(hosts, home),
            shell=_shell(job, given),
        )

    def argv(self) -> list[str]:
        options = {
            "BatchMode": "no" if self.password else "yes",
            "ConnectTimeout": str(_CONNECT_S),
            "ServerAliveInterval": str(_ALIVE_S),
            "ServerAliveCountMax": "3",
            "StrictHostKeyChecking": "yes" if self.strict else "no",
            "UserKnownHostsFile": f'"{self.known_hosts}"' if self.strict else os.devnull,
            "GlobalKnownHostsFile": os.devnull,
            "NumberOfPasswordPrompts": "1",
            "LogLevel": "ERROR",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "EscapeChar": "none",
        }
        if self.key:
            options["IdentitiesOnly"] = "yes"
        words = ["ssh", "-F", "none", "-T", "-p", self.port]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        if self.key:
            words += ["-i", self.key]
        if self.user:
            words += ["-l", self.user]
        return [*words, "--", self.host]


def _at_home(text: str, home: Path) -> str:
    return str(home / text[2:]) if text.startswith("~/") else text


def _shell(job: Job, given: dict[str, Any]) -> tuple[str, ...]:
    own = job.step.shell or given.get("shell") or ()
    words = shlex.split(own) if isinstance(own, str) else [str(word) for word in own]
    args = given.get("shellArgs") or ()
    return (*words, *(shlex.split(args) if isinstance(args, str) else [str(word) for word in args]))


class SshExecutor:
    """Runs the commands one after another until one fails, each in an ssh session of its own."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Run the commands; the exit code is the remote command's, or 255 if ssh itself failed."""
        target = _Target.of(job)
        if not job.step.commands:
            raise InvalidInput("an ssh step needs a command")
        number = 0
        ended: ProcessExit | None = None
        with _askpass(job, target) as env:
            for command in job.step.commands:
                number += 1
                ended = _start(job, io, target, command, env)
                if ended is None or ended.code != 0:
                    break
        result = process_result(job, io, ended, number if len(job.step.commands) > 1 else 0)
        # The client says why it failed, but for a server that closes the connection before a session begins.
        silent = ended is not None and ended.code == _SSH_FAILED and not io.stderr_tail()
        return result.hinted(_CLOSED) if silent else result


def _start(job: Job, io: StepIO, target: _Target, command: StepCommand, env: dict[str, str]) -> ProcessExit | None:
    scope = job.environment.full
    if target.shell:
        # A variable that is not set here is left unexpanded for the remote shell: its loop variables, for instance.
        text = (shell_command if is_read_by_posix(target.shell) else expand_text)(command.text, scope)
        words = [*target.shell, "-c", text]
    else:
        first, *rest = command.argv or (command.text,)
        # The remote user's login shell runs the words, so that exit and cd work; shlex quotes the words for it.
        words = ["sh", "-c", _BY_LOGIN_SHELL, "dagway", shlex.join([first, *(expand(word, scope) for word in rest)])]
    remote = shlex.join(["sh", "-c", _WATCHED, "dagway", new_token(), *words])
    # The write end stays open while the client runs. Its end of file tells the watcher that the client has ended.
    reader, writer = os.pipe()
    try:
        return job.supervisor.run(
            [*target.argv(), remote], env=env, cwd=os.sep, stdout=io.stdout, stderr=io.stderr, stdin=reader
        )
    finally:
        os.close(reader)
        os.close(writer)


@contextmanager
def _askpass(job: Job, target: _Target) -> Iterator[dict[str, str]]:
    """Yield the environment of the ssh client. With a password, write the program that ssh calls to read it."""
    process = job.environment.process
    env: dict[str, str] = {name: process[name] for name in ("PATH", "HOME", "LANG") if name in process}
    if not target.password:
        yield env
        return
    handle, path = tempfile.mkstemp(prefix="dagway-askpass-")
    try:
        with job.supervisor.cleanup(files=[path]):
            with os.fdopen(handle, "w") as file:
                os.fchmod(file.fileno(), 0o700)
                job.supervisor.share(file.fileno(), 0o750)
                file.write(_ASKPASS)
            yield {**env, "SSH_ASKPASS": path, "SSH_ASKPASS_REQUIRE": "force", _PASSWORD: target.password}
    finally:
        Path(path).unlink(missing_ok=True)
