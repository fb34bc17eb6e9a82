"""Brings what other programs keep into Dagway: homes of Dagu, and crontabs."""
