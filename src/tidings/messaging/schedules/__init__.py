"""Handlers that are called at times, in one of all processes."""
