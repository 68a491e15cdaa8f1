"""The benchmark: tidings beside its peers, against one fresh nats-server. `make bench` runs it; README.md explains it."""
