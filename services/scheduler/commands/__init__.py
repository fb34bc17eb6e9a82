"""Commands: each one is carried out once, in the transaction of its batch, or refused."""
