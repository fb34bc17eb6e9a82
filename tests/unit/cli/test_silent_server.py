"""What commands say of a server that accepts connections and answers nothing."""

import pytest
import urllib3

from services.cli.remote import gateway as sending


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://x", "it accepts connections but does not answer"),
        ("https://x", "it accepts connections but does not answer (is it one without TLS, at http://?)"),
    ],
)
def test_a_server_that_does_not_answer_is_said_without_the_words_of_a_library(url: str, said: str) -> None:
    silence = urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("x"), "/", "Read timed out.")

    assert sending._reason(silence, url) == said
