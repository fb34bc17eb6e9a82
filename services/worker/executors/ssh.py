"""Commands on another host, through the OpenSSH client.

Host keys are checked unless that is turned off. The user's own client configuration is not read, so a step does the
same on every worker. Killing a client leaves the remote command running, so each command runs beside a watcher on the
remote host, which ends the command and its descendants when the connection is lost.
Source: the workflow language reference, section on the ssh executor.
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
from services.worker.executors.in_process import evaluate, process_result
from services.worker.process.outcome import ProcessExit, Result
from services.worker.process.shells import is_posix
from shared.errors import InvalidInput
from shared.ids import new_token
from shared.language.expansion.expand import expand, expand_text
from shared.language.expansion.shell_text import shell_command
from shared.language.model import StepCommand

__all__ = ["SshExecutor"]

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
"""The remote side, for ``sh``: its standard input ends with the connection. The first argument is a mark."""


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
        """Read the step's config, else the DAG's ``ssh``; raises ``InvalidInput``."""
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
    """Runs each command in an ssh session of its own, until one fails."""

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
        return process_result(job, io, ended, number if len(job.step.commands) > 1 else 0)


def _start(job: Job, io: StepIO, target: _Target, command: StepCommand, env: dict[str, str]) -> ProcessExit | None:
    scope = job.environment.full
    if target.shell:
        # Variables unknown here are left to the remote shell: its own loop variables, for instance.
        text = (shell_command if is_posix(target.shell) else expand_text)(command.text, scope)
        words = [*target.shell, "-c", text]
    else:
        first, *rest = command.argv or (command.text,)
        # The user's remote shell runs these words, so that exit and cd work; they are quoted for it.
        words = ["sh", "-c", _BY_LOGIN_SHELL, "dagway", shlex.join([first, *(expand(word, scope) for word in rest)])]
    remote = shlex.join(["sh", "-c", _WATCHED, "dagway", new_token(), *words])
    # Open as long as the client lives: the watcher waits for its end.
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
    """Yield the client's environment. ssh gets a password from a program that prints a variable."""
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
                file.write(_ASKPASS)
            yield {**env, "SSH_ASKPASS": path, "SSH_ASKPASS_REQUIRE": "force", _PASSWORD: target.password}
    finally:
        Path(path).unlink(missing_ok=True)
