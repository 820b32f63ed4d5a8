"""The page of the metrics, made from mountctl/metrics/families.py. Called by docs/generate.py."""

from collections.abc import Iterator
from typing import Final

from engine.latency import NAMES, S3_NAMES
from mountctl.metrics.families import MOUNTS, SUPERVISOR, UP
from mountctl.metrics.family import Family

_INTRODUCTION: Final = """\
# Metrics

{generated}

Told in Prometheus' text format (0.0.4), or as OpenMetrics (1.0.0) to who prefers that by `Accept`:

* on the control socket: `GET /metrics` (also `/v1/metrics`), or `mountctl metrics [--openmetrics]`;
* over TCP, if the file says where; off by default:

  ```toml
  [supervisor]
  metrics-listen = "127.0.0.1:9464"
  ```

  Whoever reaches the address may read them, and `GET /`, a page of the status for a browser; nothing can be changed
  there. No password and no key is told, but names of mounts, mountpoints and buckets are: an address that others
  reach has to be written out (`0.0.0.0:9464`), and `mountctl check` warns of it. A loopback address answers only
  who asks for it by IP address or as `localhost`, so that no page in a browser can. A reload opens, moves and
  closes it; one that can't be had is told in the log and by `status --json` (`supervisor.metrics.error`), and is
  tried again.
* as a file for node_exporter's textfile collector: `mountctl metrics --textfile
  /var/lib/node_exporter/mountctl.prom`, from a timer. The file is replaced as a whole. If no supervisor answers it
  says `mountctl_up 0` and nothing else, and the command fails;
* by OTLP over HTTP: the packages have a unit for that, `systemctl enable --now mountctl-otlp`, which pushes to
  `http://localhost:4318` once a minute. Elsewhere, and with a token, by `/etc/mountctl-otlp.env` (mode 0600):

  ```
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=https://collector.example:4318
  OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20...
  MOUNTCTL_OTLP_SECONDS=30
  ```

  It runs `mountctl metrics --otlp URL [--interval SECONDS]`, a process of its own that asks the supervisor as any
  scraper does: whether a receiver is slow, hangs or is away, mounts go on. What it does not take is told in the log
  once, and again when it does; nothing is kept for later, as counters are told whole each time. Installed by pip it
  needs the extra `mountctl-s3[otlp]`, the OpenTelemetry SDK, whose environment variables hold.

A scrape of 200 mounts on the control socket is 38,900 lines. It takes 25 ms on two quiet cores if the mounts have done
nothing since the last one, and 54 ms if all were used (`python -m bench.many`); for most of that time the supervisor
does nothing else.

Counters of a mount go on over takeovers and handovers of its engines. They begin anew with another supervisor, or
when the mount is taken out of the file and put back, which `rate()` and `increase()` know how to read. Engines tell
theirs once a second. What the kernel answers from its page cache reaches no engine, so it is in no counter. Metrics
that nothing has been counted for yet are left out.

[packaging/grafana](../../packaging/grafana) has a dashboard, [packaging/prometheus](../../packaging/prometheus)
rules for alerts.
"""

_COST: Final = """
## Costs

`mountctl_s3_request_cost_total`, `..._today`, and `cost` of each mount in `status --json`, with the last eight days
(UTC), are the requests times `price-put` and `price-get` of `[supervisor]` ([configuration.md](configuration.md)).
The defaults are S3 Standard's in us-east-1 as of November 2026: 0.005 USD for 1,000 PUT, COPY, POST and LIST,
0.0004 USD for 1,000 GET, HEAD and others, nothing for DELETE and aborts of uploads. Repeated requests are counted,
as S3 counts them; storage, data that leaves a region, and restores are not. The days are kept in the state
directory for the next supervisor, once a minute; an engine that dies takes the requests since its last heartbeat
with it.
"""

_LATENCIES: Final = """
## Latencies

Buckets of `mountctl_fuse_request_duration_seconds`, in seconds: {bounds}. Up to 0.001 is what an engine has in
memory, up to 0.01 an S3 server nearby or a directory bucket, up to 0.25 S3 in the same region, up to 1 several
requests one after the other; 5 means throttling or repeated requests, 30 that S3 was away. Reads that wait for what
was read ahead count as long as they waited.

`mountctl_s3_request_duration_seconds` has {s3_bounds}. It is the time from the first byte of a request, over a
connection that is open, to the answer's head: the body of a PUT is in it, that of a GET is not. Each attempt that was
answered counts, whatever the answer; those that got none are in no bucket, but among `mountctl_s3_retries_total` and
`mountctl_s3_errors_total`.

What read-ahead fetched and nobody read is in `mountctl_s3_received_bytes_total` and not in
`mountctl_read_bytes_total`.
"""


def page(generated: str) -> str:
    """The page; `generated` says that it is made."""
    return "\n".join(
        [
            _INTRODUCTION.format(generated=generated),
            "## Of the supervisor\n",
            *_table((UP, *SUPERVISOR), ()),
            "\n## Of each mount\n",
            "All have the label `mount`.\n",
            *_table(MOUNTS, ("mount",)),
            _LATENCIES.format(bounds=", ".join(NAMES), s3_bounds=", ".join(S3_NAMES)) + _COST,
        ]
    )


def _table(families: tuple[Family, ...], leave_out: tuple[str, ...]) -> Iterator[str]:
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for family in families:
        labels = ", ".join(f"`{label}`" for label in family.labels if label not in leave_out)
        yield f"| `{family.sample_name}` | {family.kind} | {labels} | {family.help} |"
