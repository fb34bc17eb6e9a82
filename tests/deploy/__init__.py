"""What is shipped to run Dagway: manifests, compose file, image, the servers' users, examples."""
