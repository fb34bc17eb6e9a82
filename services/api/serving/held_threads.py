"""How many threads of ``dagway up`` requests may hold for long, so that some are left for short ones.

Three kinds hold a thread for long: event streams, requests that wait for the end of a run, and answers that their
client does not take. The first two share their places (``Follower``). Together they hold three quarters of the threads
at most, if there are four threads or more; with three, two.
"""

__all__ = ["most_followers", "most_slow_readers"]


def most_followers(threads: int) -> int:
    """Return how many event streams and waiting requests there may be, of so many threads."""
    return max(1, threads // 2 - 1)


def most_slow_readers(threads: int) -> int:
    """Return how many answers may wait until their client takes more, of so many threads."""
    return threads // 4 + 1
