"""The file system's verbs in our own types; knows S3 and nothing of FUSE."""
