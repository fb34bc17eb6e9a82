"""Tests of what is shipped to run Dagway: manifests, compose file, image, the users of the servers, examples."""
