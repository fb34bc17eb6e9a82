"""Conditions and selects that reads and writes share, so that both select the same rows."""
