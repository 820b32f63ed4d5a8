"""Fetcher processes: they fill the arena of an engine with what S3 sends, so that the engine only replies.

One Python process fetches and replies at a rate that one core allows. Where a host has more cores, a mount's
`fetchers` give the first half of the work to other processes: they map the engine's arena, and run the same S3 client.

    spawner.py   forks fetchers: a process made by the engine before it has anything that they must not have
    fetcher.py   the process that fetches
    reporting.py what it tells its engine
    messages.py  what engine and fetcher say to each other
    counts.py    what a fetcher counts, added up by the engine
    remote.py    the engine's side of one fetcher
    fetchers.py  all fetchers of an engine, and the client that has large reads done by them
    number.py    how many
"""
