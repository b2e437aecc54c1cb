"""Simulation: faults on forks in virtual time, seeded, replayed, shrunk and told."""
