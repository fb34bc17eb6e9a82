"""The way of a request from Flask to the handler of its operation, or to a remote node, and of its response back."""
