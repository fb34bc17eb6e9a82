"""How something is measured, kept and drawn: processes, threads, statements, HTTP requests, files of results."""
