"""A year of hourly temperatures of two cities, through a service of three chained handlers."""
