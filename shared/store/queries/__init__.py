"""Conditions and selects that reads and writes share, so that both mean the same rows."""
