"""The data plane: serves one FUSE mount of one S3 bucket. Never imports mountctl."""

__version__ = "0.1.0"
