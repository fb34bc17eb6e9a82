"""What is asked from outside: each command carried out once, in a batch's transaction, or refused."""
