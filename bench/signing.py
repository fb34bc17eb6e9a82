"""What signatures cost, in microseconds of CPU time for each message of a run: ``python -m bench.signing``."""

import time
from collections.abc import Callable

from shared.clock import utc_now
from shared.contracts.base import Message
from shared.contracts.codec import encode
from shared.contracts.commands import CommandReply, StartRun
from shared.contracts.control import RunsChanged
from shared.contracts.events import AttemptFinished, AttemptStarted
from shared.contracts.signing import Keyring, Purpose, SignatureScope, by_id
from shared.contracts.signing_keys import PrivateKey, SharedKey
from shared.contracts.tasks import Task
from shared.language.load import load
from tests.harness.message_examples import example_of

_MESSAGES: tuple[tuple[Purpose, type[Message]], ...] = (
    (Purpose.COMMAND, StartRun),
    (Purpose.REPLY, CommandReply),
    (Purpose.TASK, Task),
    (Purpose.REPORT, AttemptStarted),
    (Purpose.REPORT, AttemptFinished),
    (Purpose.NOTICE, RunsChanged),
)
"""The messages of one run of workload w2."""
_ROUNDS = 7
_TIMES = 2_000


def main() -> None:
    """Print the costs."""
    shared, private = SharedKey("20261127-a1b2c3", b"s" * 48), PrivateKey("20261127-a1b2c3", b"p" * 32)
    signers = {purpose: private if purpose is Purpose.TASK else shared for purpose, _ in _MESSAGES}
    verifiers = {purpose: by_id([private.public if purpose is Purpose.TASK else shared]) for purpose in signers}
    keyring = Keyring(signers, verifiers)
    step = load("steps:\n  - 'true'\n", file_name="noop").documents[0].steps[0]
    total = 0.0
    for purpose, kind in _MESSAGES:
        scope, now = SignatureScope(purpose, "dagway.commands 01a21b2f-f9e1-76ce-b126-baf5d00018cc"), utc_now()
        body = encode(example_of(kind, {"step": step}), id="01a21b2f-f9e1-76ce-b126-baf5d00018cc", at=now)
        signed = keyring.sign(scope, body, now)
        sign_us = _cost_us(lambda scope=scope, body=body, now=now: keyring.sign(scope, body, now))  # type: ignore[misc]
        verify_us = _cost_us(lambda scope=scope, signed=signed, now=now: keyring.verify(scope, signed, now))  # type: ignore[misc]
        total += sign_us + verify_us
        print(f"{kind.type:22} {len(signed):5} bytes: sign {sign_us:6.1f}, verify {verify_us:6.1f}")
    print(f"a run of one step: {total:.0f}")


def _cost_us(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(_TIMES):
            call()
        best = min(best, time.process_time() - began)
    return best / _TIMES * 1e6


if __name__ == "__main__":
    main()
