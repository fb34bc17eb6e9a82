"""Which shell runs a text, and how it is asked to."""

import os
from collections.abc import Mapping, Sequence

__all__ = ["DIRECT", "default_shell", "effective_shell", "is_posix", "shell_argv"]

DIRECT = ("direct",)
_POSIX = frozenset({"sh", "bash", "zsh", "ksh", "ash", "dash"})


def default_shell(host: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return this worker's shell: ``DAGU_DEFAULT_SHELL``, else ``SHELL``, else ``sh``."""
    text = host.get("DAGU_DEFAULT_SHELL") or host.get("SHELL") or "sh"
    return tuple(text.split())


def effective_shell(step: tuple[str, ...] | None, dag: tuple[str, ...]) -> tuple[str, ...]:
    """Return the shell of a step: its own, else the dag's, else the worker's."""
    return step or dag or default_shell()


def _program(shell: Sequence[str]) -> str:
    return shell[0].rpartition("/")[2]


def is_posix(shell: Sequence[str]) -> bool:
    """Whether the shell knows ``-e`` and the quoting of sh."""
    return _program(shell) in _POSIX


def shell_argv(shell: Sequence[str], text: str, *, errexit: bool, packages: Sequence[str] = ()) -> list[str]:
    """Return the argument vector that makes ``shell`` run ``text``."""
    if _program(shell) == "nix-shell":
        asked = [part for package in packages for part in ("-p", package)]
        return [*shell, *asked, "--run", text]
    flags = ["-e"] if errexit and is_posix(shell) and "-e" not in shell else []
    return [*shell, *flags, "-c", text]
