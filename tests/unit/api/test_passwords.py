"""What guessing a stored password costs. Other tests hash cheaply, see tests/conformance/conftest.py."""

from services.api.auth.tokens import Passwords


def test_a_hash_costs_64_mib_and_three_passes() -> None:
    stored = Passwords().hash("a long phrase", b"0123456789abcdef")

    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
