"""Handlers of commands. Each command is carried out once, in the transaction of its batch, or refused."""
