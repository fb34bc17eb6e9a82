"""Sealing stored secrets."""

import base64

import pytest

from shared.contracts.signing_keys import SharedKey
from shared.secret_box import CannotOpenSecret, SecretBox, key_of

OLD, NEW = SharedKey("old", b"o" * 32), SharedKey("new", b"n" * 32)
VALUE = "pässword\nof two lines"


def test_the_first_key_seals_and_all_open() -> None:
    sealed = SecretBox([OLD]).seal("db", VALUE)

    assert key_of(sealed) == "old"
    assert SecretBox([NEW, OLD]).open("db", sealed) == VALUE
    assert key_of(SecretBox([NEW, OLD]).seal("db", VALUE)) == "new"
    assert not SecretBox()


def test_nothing_of_the_value_shows_and_equal_values_differ() -> None:
    box = SecretBox([OLD])
    first, second = box.seal("db", VALUE), box.seal("db", VALUE)

    assert first != second
    for sealed in (first, second):
        assert VALUE.encode()[:6] not in base64.urlsafe_b64decode(sealed.partition(":")[2])


def test_a_repeated_request_seals_alike_and_nothing_else_does() -> None:
    box = SecretBox([OLD])
    sealed = box.seal("db", VALUE, request="r1")

    assert box.seal("db", VALUE, request="r1") == sealed
    others = [
        box.seal("db", VALUE, request="r2"),
        box.seal("other", VALUE, request="r1"),
        box.seal("db", "", request="r1"),
    ]
    nonces = {base64.urlsafe_b64decode(each.partition(":")[2])[:12] for each in (sealed, *others)}
    assert len(nonces) == 4


@pytest.mark.parametrize(
    ("keys", "name", "change", "said"),
    [
        ([NEW], "db", "", "sealed with the key 'old', which is not in DAGWAY_SECRET_KEYS here"),
        ([SharedKey("old", b"x" * 32)], "db", "", "another key 'old', or the stored value was changed"),
        ([OLD], "other", "", "another key 'old', or the stored value was changed"),
        ([OLD], "db", "AAAA", "another key 'old', or the stored value was changed"),
        ([OLD], "db", "!", "another key 'old', or the stored value was changed"),
    ],
)
def test_what_cannot_be_opened_says_why(keys: list[SharedKey], name: str, change: str, said: str) -> None:
    sealed = SecretBox([OLD]).seal("db", VALUE) + change

    with pytest.raises(CannotOpenSecret, match=said) as caught:
        SecretBox(keys).open(name, sealed)
    assert sealed[10:30] not in str(caught.value)


def test_a_text_that_nobody_sealed_is_refused() -> None:
    for text in ("", "old", "old:", "old:AAAA"):
        with pytest.raises(CannotOpenSecret):
            SecretBox([OLD]).open("db", text)
