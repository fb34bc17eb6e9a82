"""The acceptance cases of the language reference, run through the real engine on both deployments."""
