"""Mounts that an orchestrator asks for while the supervisor runs, and the targets where their consumers see them."""
