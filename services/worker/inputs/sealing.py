"""Seal parameters that contain a secret, on their way to a sub-run, and open them in that sub-run (ADR 36).

Sealing is deterministic (AES-SIV, RFC 5297), because the id of a sub-run is a hash of its parameters: the same call of
the same run must give the same id. A sealed value can be opened only by runs of the same root run, so nobody can copy
one from the database and have a run of their own open it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.contracts.signing_keys import SharedKey
from shared.contracts.tasks import PREPARE, Task
from shared.errors import InvalidInput
from shared.foreign_json import read_json
from shared.language.expansion.sealed_text import has_sealed, is_sealed, replace_sealed, sealed_text
from shared.language.expansion.secret_params import secrets_in

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

__all__ = ["CannotOpen", "PassedSecrets", "Seal", "Sealer", "open_task"]

_SETTING = "DAGWAY_WORKER_SEAL_KEYS"
_PURPOSE = b"dagway sealed value v1"
_LONG = 8
"""Characters of the shortest part of a secret that is masked: shorter ones occur by chance."""


class CannotOpen(InvalidInput):
    """A sealed value cannot be opened on this worker. The text names the setting, and no value."""


@dataclass(frozen=True, slots=True)
class PassedSecrets:
    """The secrets that a run got sealed from its caller."""

    texts: tuple[str, ...] = ()
    """What to mask."""
    whole: bool = False
    """Whether the text of the parameters was sealed as a whole: then any of them may be a part of a secret."""


class Sealer:
    """The keys of a worker: the first one seals, all of them open. Thread-safe."""

    def __init__(self, keys: Sequence[SharedKey] = ()) -> None:
        self._first = keys[0] if keys else None
        self._keys = {key.id: key for key in keys}

    def __bool__(self) -> bool:
        """Whether there is a key to seal with."""
        return self._first is not None

    def seal(self, text: str, hidden: Sequence[str], task: Task) -> str:
        """Return ``text`` sealed for all runs of the root run of ``task``.

        ``hidden`` are the texts to mask wherever the value is opened. There must be a key.
        """
        key = self._first
        assert key is not None  # noqa: S101 - the caller has asked
        data = json.dumps([text, *hidden]).encode()
        return sealed_text(key.id, _cipher(key).encrypt(data, _bound_to(key, task)))

    def open(self, text: str, task: Task) -> tuple[str, tuple[str, ...]]:
        """Return ``text`` with each sealed value in it opened, and the texts to mask.

        If ``text`` is a JSON object or array, the values are escaped, so that it stays valid JSON.

        Raises:
            CannotOpen: the key is unknown or another one of that id, or the value is not from a run of this root run.
        """
        masked: list[str] = []
        in_json = _is_json_container(text)

        def opened(key_id: str, data: bytes) -> str:
            value, *hidden = self._opened(key_id, data, task)
            masked.extend(hidden)
            return json.dumps(value, ensure_ascii=False)[1:-1] if in_json else value

        return replace_sealed(text, opened), tuple(masked)

    def _opened(self, key_id: str, data: bytes, task: Task) -> list[str]:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        key = self._keys.get(key_id)
        if key is None:
            raise CannotOpen(
                f"a parameter is sealed with the key {key_id!r}, which this worker does not have: add it to {_SETTING}"
            )
        try:
            found: list[str] = json.loads(_cipher(key).decrypt(data, _bound_to(key, task)))
        except (InvalidTag, ValueError):
            raise CannotOpen(
                f"a parameter that is sealed with the key {key_id!r} cannot be opened: another root run has sealed it, "
                f"or {_SETTING} of that worker has another key of this id"
            ) from None
        return found


class Seal:
    """Seals texts of one run if they contain a secret, which ``mask`` finds.

    Without a key, it returns every text unchanged.
    """

    def __init__(self, sealer: Sealer, task: Task, mask: Callable[[str], str]) -> None:
        self._sealer = sealer
        self._task = task
        self._mask = mask

    def __bool__(self) -> bool:
        """Whether there is a key to seal with."""
        return bool(self._sealer)

    def __call__(self, text: str) -> str:
        """Return ``text``, sealed if it contains a secret."""
        return text if not self._sealer or self._mask(text) == text else self.all(text)

    def all(self, text: str, parts: Sequence[str] = ()) -> str:
        """Return ``text`` sealed, whatever it contains. There must be a key.

        Those of ``parts`` that are a long part of a secret are masked, too, wherever the text is opened.
        """
        hidden = secrets_in(text, self._mask(text))
        long = (part for part in parts if len(part) >= _LONG and any(part in secret for secret in hidden))
        return self._sealer.seal(text, (*hidden, *long), self._task)


def open_task(task: Task, sealer: Sealer) -> tuple[Task, PassedSecrets]:
    """Return the task with its parameters opened, and the secrets in them.

    Raises ``CannotOpen``.
    """
    masked: list[str] = []

    def opened(text: str) -> str:
        value, hidden = sealer.open(text, task)
        masked.extend(hidden)
        return value

    changed: dict[str, object] = {}
    if any(has_sealed(text) for pair in task.params for text in pair):
        changed["params"] = tuple((opened(name), opened(value)) for name, value in task.params)
    if task.params_json is not None and has_sealed(task.params_json):
        changed["params_json"] = opened(task.params_json)
    prepare, whole = task.options.get(PREPARE), False
    if prepare is not None and has_sealed(prepare["given"]):
        whole = is_sealed(prepare["given"])
        changed["options"] = {**task.options, PREPARE: {**prepare, "given": opened(prepare["given"])}}
    return (task.model_copy(update=changed) if changed else task), PassedSecrets(tuple(dict.fromkeys(masked)), whole)


@lru_cache(maxsize=32)
def _cipher(key: SharedKey) -> "AESSIV":
    # Imported here, because it takes 40 ms and few runs need it.
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA512  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return AESSIV(HKDF(SHA512(), 64, salt=None, info=_PURPOSE).derive(key.secret))


def _bound_to(key: SharedKey, task: Task) -> list[bytes]:
    """Return what a sealed value is valid for, as associated data."""
    return [_PURPOSE, key.id.encode(), task.root_dag_name.encode(), task.root_dag_run_id.encode()]


def _is_json_container(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        read_json(text)
    except ValueError:
        return False
    return True
