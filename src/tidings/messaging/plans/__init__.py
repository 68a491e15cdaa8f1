"""Handlers compiled: from a native message to the call, and what becomes of the message behind it."""
