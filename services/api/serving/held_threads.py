"""How many threads of ``dagway up`` requests may hold for long. They come on top of those for short requests.

Three kinds hold a thread for long: event streams, requests that wait for the end of a run, and answers that their
client does not take. The first two share their places (``Followers``).
"""

__all__ = ["MOST_FOLLOWERS", "MOST_SLOW_READERS", "most_threads"]

MOST_FOLLOWERS = 48
"""How many event streams and waiting requests there may be together."""
MOST_SLOW_READERS = 16
"""How many answers may wait until their client takes more."""


def most_threads(at_once: int) -> int:
    """Return how many threads the server needs, so that ``at_once`` are always left for short requests."""
    return at_once + MOST_FOLLOWERS + MOST_SLOW_READERS
