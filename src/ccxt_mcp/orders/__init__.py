"""Orders as words: what is asked for, what it comes to, and whether it may be; no network, no clock, no state."""
