"""The supervisor end to end: real processes, real mounts, real S3 servers."""
