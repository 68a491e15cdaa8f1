"""The adapters, one folder a broker. Each is imported with its broker only."""
