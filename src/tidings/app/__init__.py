"""`App`: the brokers of a service with its hooks, started and stopped together."""

from .app import App

__all__ = ["App"]
