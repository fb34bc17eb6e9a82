"""Dead letters over REST: seen, returned and discarded, on both deployments."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.transport.base import COMMANDS, DEAD_LETTERS, Outgoing
from tests.conformance.rest_live import Live
from tests.harness.eventually import PATIENCE_S, eventually


@pytest.fixture(autouse=True, scope="module")
def _letters_are_looked_at_often() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.scheduler.loops.dead_letters._EVERY_S", 0.2)
        yield


def listed(live: Live, *message_ids: str) -> list[dict[str, Any]]:
    """Wait until exactly these letters are listed, and nothing is decided about them."""

    def there() -> list[dict[str, Any]]:
        found = live.get("/dead-letters")
        assert [each["messageId"] for each in found["deadLetters"]] == [*message_ids], found
        assert all(not each["decision"] for each in found["deadLetters"]), found
        assert found["more"] is False
        return list(found["deadLetters"])

    return eventually(there)


def test_a_poison_message_is_seen_returned_and_discarded(live: Live) -> None:
    transport = live.deps.transport
    transport.send(Outgoing(COMMANDS, b"no envelope", "poison")).result(PATIENCE_S)

    [letter] = listed(live, "poison")
    assert (letter["queue"], letter["messageType"], letter["size"]) == (COMMANDS.name, "", 11)
    assert "not an envelope" in letter["reason"]

    outcome = live.get("/commands/poison")
    assert (outcome["outcome"], outcome["error"]["code"]) == ("failed", "internal_error")

    body = {"ids": [letter["id"], letter["id"]]}
    assert live.post("/dead-letters/bulk/return", body) == {"results": [{"id": letter["id"], "outcome": "done"}]}
    # It still cannot be read.
    eventually(lambda: listed(live, "poison")[0]["firstSeenAt"] != letter["firstSeenAt"])
    assert listed(live, "poison")[0]["id"] == letter["id"]

    results = live.post("/dead-letters/bulk/discard", {"ids": ["0" * 32, letter["id"]]})["results"]
    assert [(each["id"], each["outcome"], each.get("code", "")) for each in results] == [
        ("0" * 32, "refused", "not_found"),
        (letter["id"], "done", ""),
    ]
    assert listed(live) == []
    assert transport.waiting(DEAD_LETTERS) == 0
    assert live.refused("GET", "/commands/poison") == (404, "not_found")


def test_bad_ids_are_refused_with_the_field(live: Live) -> None:
    for ids in ([], ["x"], ["0" * 32] * 501):
        response = live.ask("POST", "/dead-letters/bulk/return", {"ids": ids})
        assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")
        assert "ids" in response.get_json()["message"]
