"""Choose the shell that runs a text, and build its argument vector."""

import os
import re
import shutil
from collections.abc import Sequence
from itertools import pairwise

from shared.language.expansion.expand import Scope, expand

__all__ = [
    "DIRECT",
    "condition_shell",
    "default_shell",
    "effective_shell",
    "interpreter_words",
    "is_posix",
    "is_powershell",
    "is_read_by_posix",
    "needs_assignments",
    "script_argv",
    "shell_argv",
    "suffix_of",
]

DIRECT = ("direct",)
_POSIX = frozenset({"sh", "bash", "zsh", "ksh", "ash", "dash", "rbash", "mksh"})
_POWERSHELL = frozenset({"pwsh", "powershell"})
_READ_TWICE = frozenset({"ssh", "autossh", "mosh", "rsh", "pdsh", "dsh", "clush", "tsh", "watch", "parallel", "sem"})
"""Programs that join their words to a text, which one more shell reads."""
_TEXT_FOLLOWS = frozenset({"-c", "-command"})
_NIX_SHELL = "nix-shell"
_NIX_OPTIONS = re.compile(r"^#![ \t]*nix-shell[ \t](.*)", re.MULTILINE)
_PACKAGE_FOLLOWS = "--with"
"""An option of uv."""


def default_shell() -> tuple[str, ...]:
    """Return this worker's shell: ``DAGU_DEFAULT_SHELL``, else ``SHELL``, else the path of ``sh``.

    By its path, since a shell begins its messages with the name that it was called by, and logs show them.
    """
    given = (os.environ.get(name, "").split() for name in ("DAGU_DEFAULT_SHELL", "SHELL"))
    return tuple(next(filter(None, given), [shutil.which("sh") or "sh"]))


def effective_shell(step: Sequence[str] | None, dag: Sequence[str], scope: Scope) -> tuple[str, ...]:
    """Return the shell of a step: ``step``, else ``dag``, else the worker's default. Expands variables in its words.

    Words that expand to an empty text are left out. Raises ``ExpansionError``.
    """
    return _words(step or (), scope) or _words(dag, scope) or default_shell()


def _words(shell: Sequence[str], scope: Scope) -> tuple[str, ...]:
    return tuple(word for part in shell if (word := expand(part, scope)))


def condition_shell(step: Sequence[str] | None, dag: Sequence[str], scope: Scope) -> tuple[str, ...]:
    """Return the shell that runs conditions: the step's shell, or the worker's default if the step has no shell."""
    shell = effective_shell(step, dag, scope)
    return default_shell() if shell == DIRECT else shell


def _program(shell: Sequence[str]) -> str:
    return shell[0].rpartition("/")[2]


def is_posix(shell: Sequence[str]) -> bool:
    """Whether the shell knows ``-e`` and the quoting rules of sh."""
    return _program(shell) in _POSIX


def is_read_by_posix(words: Sequence[str]) -> bool:
    """Whether a shell that knows the quoting rules of sh reads the text that these words are given.

    It need not be the first word: ``timeout 5 bash -c``, ``#!/usr/bin/env bash``. nix-shell starts what ``-i`` names,
    else bash.
    """
    programs = [_program((word.strip("\"'"),)) for word in words]
    if _NIX_SHELL in programs:
        options = programs[programs.index(_NIX_SHELL) :]
        return (["bash"] + [program for option, program in pairwise(options) if option == "-i"])[-1] in _POSIX
    return any(program in _POSIX for before, program in pairwise(["", *programs]) if before != _PACKAGE_FOLLOWS)


def interpreter_words(line: str, script: str) -> list[str]:
    """Return the words of an interpreter line, after its ``#!``, with what ``script`` itself adds to them.

    nix-shell takes further options from all lines that begin with ``#! nix-shell``.
    """
    words = line.split()
    if _NIX_SHELL in (_program((word,)) for word in words):
        words += " ".join(_NIX_OPTIONS.findall(script)).split()
    return words


def needs_assignments(words: Sequence[str]) -> bool:
    """Whether a text that these words make a shell read must itself assign the variables that it names.

    A program that starts the shell may keep the environment from it: ``docker exec``, ``sudo``, ``env -i``. But where
    one more shell reads the text before, a value in it would no longer be quoted: it is better lost than run.
    """
    direct = words[1:] if _program(words) == "env" and len(words) > 1 else words
    return not is_posix(direct) and _READ_TWICE.isdisjoint(_program((word,)) for word in words)


def is_powershell(shell: Sequence[str]) -> bool:
    """Whether the shell is PowerShell, which has neither ``-e`` nor ``--``."""
    return _program(shell) in _POWERSHELL


def suffix_of(shell: Sequence[str]) -> str:
    """Return the suffix of the file name of a script for this shell; empty for most shells."""
    return ".ps1" if is_powershell(shell) else ".sh" if is_posix(shell) else ""


def _powershell(shell: Sequence[str]) -> list[str]:
    """Return PowerShell's program and options without ``-c`` and ``-Command``, since callers add what to run."""
    return [word for word in shell if word.lower() not in _TEXT_FOLLOWS]


def script_argv(shell: Sequence[str], path: str, *, errexit: bool) -> list[str]:
    """Return the argument vector that makes ``shell`` run the script in a file."""
    if is_powershell(shell):
        return [*_powershell(shell), "-ExecutionPolicy", "Bypass", "-File", path]
    return [*shell, *_errexit(shell, wanted=errexit), path]


def _errexit(shell: Sequence[str], *, wanted: bool) -> list[str]:
    return ["-e"] if wanted and is_posix(shell) and "-e" not in shell else []


def shell_argv(shell: Sequence[str], text: str, *, errexit: bool, packages: Sequence[str] = ()) -> list[str]:
    """Return the argument vector that makes ``shell`` run ``text``."""
    if _program(shell) == _NIX_SHELL:
        options = [part for package in packages for part in ("-p", package)]
        return [*shell, *options, "--run", text]
    if is_powershell(shell):
        return [*_powershell(shell), "-Command", text]
    return [*shell, *_errexit(shell, wanted=errexit), "-c", text]
