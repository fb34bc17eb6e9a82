"""One part of Dagway at a time, against real servers."""
