"""One connection to NATS: its life, its subscriptions, its requests. Over `wire`, below JetStream."""
