"""How each service starts as a process: one module per command, each importing only the service it runs."""
