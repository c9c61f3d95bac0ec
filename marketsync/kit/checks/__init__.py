"""The checks, by power. Each yields sentences that say what is wrong."""
