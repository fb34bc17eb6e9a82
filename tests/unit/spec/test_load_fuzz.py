"""Twenty seconds of hostile text: no crash, no hang, no memory without bound."""

import random
import resource
import time
from pathlib import Path

import pytest

from shared.spec.load import load

SECONDS = 20
_SLOWEST_S = 8
_MOST_KIB = 512 * 1024
_PIECES = [
    "---\n", "- ", ": ", "{", "}", "[", "]", "&a ", "*a ", "!!binary ", "|\n  ", ">\n", "\t", "'", '"', "`", "${", "$(",
    "\0", "\ufeff", "\u2028", "<<: ", "? ", "%YAML 1.1\n", "1e999", "-0x1", ".inf", "null", "~", "re:", "\U0001f600",
    "steps:\n", "params:\n", "env:\n", "depends:\n", "schedule: '* * * * *'\n", "handlerOn:\n", "# dagway-snapshot: {}\n",  # noqa: E501 - a spec reads best in one piece
]  # fmt: skip
EXAMPLES = [path.read_text() for path in sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))]


def _spoiled(dice: random.Random) -> str:
    """Return an example with some pieces put in, taken out, doubled or moved."""
    text = dice.choice(EXAMPLES)
    for _ in range(dice.randint(1, 12)):
        at, size = dice.randrange(len(text) + 1), dice.randint(0, 40)
        piece = dice.choice((dice.choice(_PIECES), text[at : at + size], "", chr(dice.randrange(0xD800))))
        text = text[:at] + piece * dice.choice((1, 1, 2, 50)) + text[at + dice.choice((0, size)) :]
    return text


@pytest.mark.timeout(90)
def test_no_text_breaks_the_loader() -> None:
    seed = time.time_ns()
    dice = random.Random(seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        text = _spoiled(dice)
        began = time.monotonic()
        try:
            load(text, file_name="x.yaml")
        except BaseException as fault:
            msg = f"seed {seed}: {text!r}"
            raise AssertionError(msg) from fault
        assert time.monotonic() - began < _SLOWEST_S, text
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_KIB
