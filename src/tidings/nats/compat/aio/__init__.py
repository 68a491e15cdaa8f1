"""nats-py's core client, by its module's name."""
