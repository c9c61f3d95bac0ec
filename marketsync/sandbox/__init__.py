"""The simulated far sides: a world of marketplaces and shops, its people, its faults."""
