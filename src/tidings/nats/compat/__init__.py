"""A door for programs written for nats-py: ``import tidings.nats.compat as nats``."""
