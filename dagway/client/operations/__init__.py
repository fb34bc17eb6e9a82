"""The requests of all operations of the API, as data. Written by ``python -m scripts.client_operations``."""
