"""Slices of systemd for mounts that ask for limits: `slice`, `memory-high`, `memory-max`, `cpu-weight`."""
