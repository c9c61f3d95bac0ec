"""Pure values, states and arithmetic: no I/O, no clock, no randomness."""
