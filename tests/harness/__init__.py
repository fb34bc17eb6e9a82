"""Helpers for tests: real servers, real processes, a faulty network, and waiting for conditions."""
