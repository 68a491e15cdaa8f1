"""The benchmark: tidings beside its peers, against one fresh nats-server. See README.md."""
