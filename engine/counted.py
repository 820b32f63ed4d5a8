"""What an engine counts, as its heartbeats tell it (engine/link.py). Made by engine/stats.py.

An engine may be older or younger than its supervisor: fields are only ever added, and each says itself what it means.
"""

from pydantic import BaseModel, ConfigDict, Field


class Stats(BaseModel):
    """Counters since the engine started, and gauges. Add freely; never rename."""

    model_config = ConfigDict(frozen=True)

    bytes_read: int = 0
    bytes_written: int = 0
    s3_requests: dict[str, int] = Field(default_factory=dict, description="by S3 operation, such as GetObject")
    s3_answers: dict[str, int] = Field(
        default_factory=dict, description="by S3 operation and HTTP status, such as `GetObject 206`"
    )
    s3_latencies: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="answers by S3 operation and bucket: the most seconds until they began"
    )
    s3_microseconds: dict[str, int] = Field(
        default_factory=dict, description="how long all answers took to begin, together, by S3 operation"
    )
    s3_errors: dict[str, int] = Field(default_factory=dict, description="failed for good, by S3 code or class")
    s3_retries: int = 0
    s3_throttles: int = Field(0, description="answers that asked to slow down, whether a retry helped or not")
    s3_hedges: int = Field(0, description="requests made because an answer lagged behind its like")
    s3_bytes_received: int = 0
    s3_bytes_sent: int = Field(0, description="of bodies, attempts that failed included")
    fuse_requests: dict[str, int] = Field(default_factory=dict, description="by FUSE operation")
    fuse_latencies: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="answers by FUSE operation and bucket: the most seconds that they took"
    )
    fuse_microseconds: dict[str, int] = Field(
        default_factory=dict, description="how long all answers took together, by FUSE operation"
    )
    answering: int = Field(0, description="requests of programs being answered now")
    fuse_errors: dict[str, int] = Field(default_factory=dict, description="by errno name")
    inodes: int = 0
    open_files: int = 0
    open_directories: int = 0
    uploads: int = Field(0, description="files being written, not complete in S3 yet")
    hidden_names: int = Field(0, description="keys that listings left out: no valid name, or hidden by a directory")
    arena_bytes: int = Field(0, description="memory holding data now")
    arena_bytes_max: int = Field(0, description="memory that may hold data; 0: an engine that does not tell")
    fetchers: int = Field(0, description="fetcher processes running now")
