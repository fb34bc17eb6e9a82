"""Signatures of messages: what is signed is accepted, and nothing else."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.codec import decode, encode
from shared.contracts.control import StopAttempt
from shared.contracts.signing import CLOCK_MARGIN, COMMAND_LIFETIME, Keyring, Purpose, SignatureScope, by_id
from shared.contracts.signing_keys import (
    PrivateKey,
    SharedKey,
    SigningKey,
    VerifyingKey,
    private_keys,
    public_keys,
    report_keys,
    shared_keys,
)
from shared.contracts.worker_pools import pool_of_worker
from shared.errors import Refusal, SignatureRefused

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
MESSAGE = encode(StopAttempt(token="t", reason='a "quote", é'), id="one", at=AT)
SHARED = SharedKey("k1", b"s" * 32)
PRIVATE = PrivateKey("k1", b"p" * 32)
KINDS: tuple[tuple[SigningKey, VerifyingKey], ...] = ((SHARED, SHARED), (PRIVATE, PRIVATE.public))
SCOPE = SignatureScope(Purpose.CONTROL, "worker.w1")
MOMENTS = st.integers(10**15, 10**16 - 1).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))


def ring(signer: SigningKey, *verifiers: VerifyingKey, purposes: Iterable[Purpose] = Purpose) -> Keyring:
    return Keyring(dict.fromkeys(purposes, signer), dict.fromkeys(purposes, by_id(verifiers)))


def why(keys: Keyring, message: bytes, scope: SignatureScope = SCOPE, now: datetime = AT) -> Refusal:
    with pytest.raises(SignatureRefused) as refused:
        keys.verify(scope, message, now)
    return refused.value.why


@pytest.mark.parametrize("pair", KINDS, ids=["hmac", "ed25519"])
@given(text=st.text(), place=st.text(max_size=50), at=MOMENTS)
def test_a_signed_message_is_accepted_and_still_decodes(
    pair: tuple[SigningKey, VerifyingKey], text: str, place: str, at: datetime
) -> None:
    signer, verifier = pair
    scope = SignatureScope(Purpose.TASK, place)
    message = encode(StopAttempt(token=text), id="one", at=AT)

    signed = ring(signer).sign(scope, message, at)
    proof = ring(signer, verifier).verify(scope, signed, at)

    assert decode(signed) == decode(message)
    assert proof.key_id == "k1"
    assert timedelta(0) <= at - proof.at < timedelta(milliseconds=1)


@pytest.mark.parametrize("pair", KINDS, ids=["hmac", "ed25519"])
def test_any_flipped_bit_is_refused(pair: tuple[SigningKey, VerifyingKey]) -> None:
    signer, verifier = pair
    # The other key's id is one bit away.
    keys = ring(signer, verifier, SharedKey("k0", b"s" * 32))
    signed = keys.sign(SCOPE, MESSAGE, AT)

    for position in range(len(signed) * 8):
        byte, bit = divmod(position, 8)
        changed = signed[:byte] + bytes([signed[byte] ^ (1 << bit)]) + signed[byte + 1 :]
        why(keys, changed)


@given(st.binary(max_size=300), st.data())
def test_cut_and_extended_messages_are_refused(noise: bytes, data: st.DataObject) -> None:
    keys = ring(SHARED, SHARED)
    signed = keys.sign(SCOPE, MESSAGE, AT)
    at = data.draw(st.integers(0, len(signed)))
    end = data.draw(st.integers(at, len(signed)))
    changed = signed[:at] + noise + signed[end:]

    if changed != signed:
        why(keys, changed)


@given(st.binary(max_size=300))
def test_noise_is_refused_as_unsigned(noise: bytes) -> None:
    assert why(ring(SHARED, SHARED), noise) is Refusal.UNSIGNED


def test_why_a_signature_is_refused() -> None:
    keys = ring(SHARED, SHARED)
    signed = keys.sign(SCOPE, MESSAGE, AT)

    assert why(keys, MESSAGE) is Refusal.UNSIGNED
    assert why(ring(SHARED, SharedKey("k2", b"s" * 32)), signed) is Refusal.UNKNOWN_KEY
    assert why(ring(SHARED, SharedKey("k1", b"x" * 32)), signed) is Refusal.BAD_SIGNATURE
    assert why(keys, signed, SignatureScope(Purpose.REPORT, SCOPE.place)) is Refusal.WRONG_PURPOSE
    assert why(keys, signed, SignatureScope(Purpose.CONTROL, "worker.w2")) is Refusal.BAD_SIGNATURE
    assert why(ring(PRIVATE, PRIVATE.public), signed) is Refusal.BAD_SIGNATURE


def test_a_signature_for_one_purpose_does_not_become_one_for_another() -> None:
    keys = ring(SHARED, SHARED)
    signed = keys.sign(SCOPE, MESSAGE, AT)

    renamed = signed.replace(b'"sig":"control;', b'"sig":"report;')

    assert why(keys, renamed, SignatureScope(Purpose.REPORT, SCOPE.place)) is Refusal.BAD_SIGNATURE


def test_a_signature_in_the_text_of_a_message_is_no_signature() -> None:
    keys = ring(SHARED, SHARED)
    field = keys.sign(SCOPE, b"{}", AT)[1:-1].decode()
    message = encode(StopAttempt(token="t", reason=field), id="one", at=AT)

    assert why(keys, message) is Refusal.UNSIGNED
    assert keys.verify(SCOPE, keys.sign(SCOPE, message, AT), AT).key_id == "k1"


def test_commands_are_refused_when_their_outcome_may_be_forgotten() -> None:
    keys = ring(SHARED, SHARED)
    scope = SignatureScope(Purpose.COMMAND, "dagway.commands one")
    signed = keys.sign(scope, MESSAGE, AT)

    keys.verify(scope, signed, AT + COMMAND_LIFETIME)
    keys.verify(scope, signed, AT - CLOCK_MARGIN)
    assert why(keys, signed, scope, AT + COMMAND_LIFETIME + timedelta(seconds=1)) is Refusal.EXPIRED
    assert why(keys, signed, scope, AT - CLOCK_MARGIN - timedelta(seconds=1)) is Refusal.EXPIRED


def test_tasks_and_reports_have_no_lifetime() -> None:
    keys = ring(SHARED, SHARED)

    for purpose in (Purpose.TASK, Purpose.REPORT):
        scope = SignatureScope(purpose, "x")
        keys.verify(scope, keys.sign(scope, MESSAGE, AT), AT + timedelta(days=400))


def test_the_first_key_signs_and_all_verify() -> None:
    old, new = shared_keys(f"old={'a' * 32}"), shared_keys(f"new={'b' * 32},old={'a' * 32}")
    before, during, after = (ring(keys[0], *keys) for keys in (old, new, new[:1]))

    for signer, verifier in ((before, during), (during, during), (during, after)):
        verifier.verify(SCOPE, signer.sign(SCOPE, MESSAGE, AT), AT)
    assert why(after, before.sign(SCOPE, MESSAGE, AT)) is Refusal.UNKNOWN_KEY
    assert why(before, during.sign(SCOPE, MESSAGE, AT)) is Refusal.UNKNOWN_KEY


def test_an_ed25519_key_signs_as_rfc_8032_says() -> None:
    # Section 7.1, test 2.
    seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
    point = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    (private,), (public,) = private_keys(f"k={seed}"), public_keys(f"k={point}")

    assert private.public == public
    assert private.sign(b"\x72").hex().startswith("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da")
    assert public.verifies(b"\x72", private.sign(b"\x72"))


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (shared_keys, "", "contains no key"),
        (shared_keys, "s" * 40, "key 1 is not ID=VALUE"),
        (shared_keys, f"a={'s' * 31}", "key 'a': expected a secret of 32 to 512 printable characters"),
        (shared_keys, f"a={'s' * 32} a={'t' * 32}", "two keys have the id 'a'"),
        (report_keys, f"a={'s' * 32}", "key 1 is not POOL/ID=VALUE"),
        (private_keys, f"a={'s' * 64}", "key 'a': expected 64 hexadecimal digits"),
        (public_keys, "a=00", "key 'a': expected 64 hexadecimal digits"),
    ],
)
def test_a_bad_key_is_named_without_its_value(read: Callable[[str], object], text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        read(text)

    assert "sss" not in str(refused.value)


def test_no_secret_is_in_the_text_of_a_key() -> None:
    assert "sss" not in repr(SHARED)
    assert "ppp" not in repr(PRIVATE)


@pytest.mark.parametrize(
    ("worker_id", "pool"),
    [("gpu-1", "gpu"), ("gpu-eu-1", "gpu"), ("gpu", "default"), ("gpux-1", "default"), ("default-1", "default")],
)
def test_the_pool_of_a_worker_begins_its_id(worker_id: str, pool: str) -> None:
    assert pool_of_worker(worker_id, {"default", "gpu"}) == pool
