"""Bodies to values and back: what a handler takes, what it gives, and what does not fit."""
