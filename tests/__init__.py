"""Dagway's tests."""
