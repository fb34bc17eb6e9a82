"""Brings what other programs keep into Dagway: Dagu home folders, and crontabs."""
