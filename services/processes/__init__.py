"""Starts each service as a process: one module per command, which imports only the service that it runs."""
