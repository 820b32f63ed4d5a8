"""Credentials of volumes: files that a mount's chain of credentials reads, and variables that say where they are."""
