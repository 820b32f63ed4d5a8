"""`mountctl doctor`: what is wrong or unwise with the host, the configuration, each mount and what runs.

Facts are gathered by processes with a time limit (probing.py), and judged by pure rules (host.py, service.py,
network.py, mounts.py, running.py), so that nothing hangs and every finding can be provoked by facts.
"""
