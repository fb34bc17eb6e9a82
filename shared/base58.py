"""Bytes as text in base58."""

__all__ = ["base58"]

_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data: bytes) -> str:
    """Return ``data`` in base58, which has no two characters that look alike. Each leading zero byte is a ``1``."""
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _DIGITS[digit] + text
    return _DIGITS[0] * (len(data) - len(data.lstrip(b"\0"))) + text
