"""nats-py's JetStream, by its module's name."""
