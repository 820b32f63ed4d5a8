"""The control plane: one file, many mounts, one supervisor. Of engine it imports spec and link only."""
