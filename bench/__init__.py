"""Benches: speed beside the peers, in one run on one machine. Ratios count, not absolutes."""
