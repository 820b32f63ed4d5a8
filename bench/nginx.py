"""The front of the bench's S3: what nginx is told. Used by bench/fast_s3.py.

nginx sends objects itself, and writes bodies of requests to files; all else is bench/back_end.py's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODULES: Final = Path("/usr/lib/nginx/modules")
LUA_MODULES: Final = ("ndk_http_module.so", "ngx_http_lua_module.so")

# nginx paces an answer in chunks; small ones keep the pace even within a part.
PACED_CHUNK: Final = "256k"

# What of a body is written to its file at once.
BODY_BUFFER: Final = "1m"


@dataclass(frozen=True)
class Manners:
    """S3's own: milliseconds to the first byte, MB/s of one connection. Zeros: as fast as it goes."""

    first_byte_ms: int = 0
    connection_mb: int = 0

    def __str__(self) -> str:
        if not (self.first_byte_ms or self.connection_mb):
            return "no delay"
        return f"{self.first_byte_ms} ms to the first byte, {self.connection_mb} MB/s a connection"

    def modules(self) -> str:
        """What must be loaded for them."""
        return "".join(f"load_module {MODULES / name};\n" for name in LUA_MODULES) if self.first_byte_ms else ""

    def delay(self) -> str:
        """Before anything is answered."""
        if not self.first_byte_ms:
            return ""
        return f"access_by_lua_block {{ ngx.sleep({self.first_byte_ms / 1000}) }}"

    def delay_of_write(self) -> str:
        """The same, and as long as the body takes at a connection's rate; nginx can't read one at a pace."""
        if not self.first_byte_ms:
            return ""
        body = f" + (tonumber(ngx.var.content_length) or 0) / {self.connection_mb}e6" if self.connection_mb else ""
        return f"access_by_lua_block {{ ngx.sleep({self.first_byte_ms / 1000}{body}) }}"

    def pace(self) -> str:
        """Of what is sent."""
        return f"limit_rate {self.connection_mb}m; sendfile_max_chunk {PACED_CHUNK};" if self.connection_mb else ""


NO_DELAY: Final = Manners()

# What clients in Amazon's network see of S3 (its documentation names 100-200 ms for small objects from outside, and
# 85-90 MB/s for one connection).
S3S_OWN: Final = Manners(first_byte_ms=20, connection_mb=90)


@dataclass(frozen=True)
class Certificate:
    """For TLS: PEM files."""

    chain: Path
    key: Path


# Where nothing is said otherwise, a request is answered by the back end; nginx keeps bodies to itself.
_PROXY: Final = """proxy_pass http://back;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";"""

# Directories that nginx wants, whether it uses them or not.
_TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _listens(ports: Sequence[int], certificate: Certificate | None) -> str:
    """Where it listens."""
    secure = " ssl" if certificate else ""
    lines = [f"    listen 127.0.0.1:{port}{secure};" for port in ports]
    if certificate:
        lines += [f"    ssl_certificate {certificate.chain};", f"    ssl_certificate_key {certificate.key};"]
    return "\n".join(lines)


def configuration(
    work: Path, root: Path, ports: Sequence[int], back: int, manners: Manners, certificate: Certificate | None
) -> str:
    """The text of nginx.conf: `root` served at all `ports`, with the back end at another one; `work` is scratch."""
    temporary = "\n".join(f"  {kind}_temp_path {work}/{kind};" for kind in _TEMPORARY)
    return f"""{manners.modules()}
worker_processes 1;
daemon off;
user root;
pid {work}/pid;
error_log {work}/errors;
events {{ worker_connections 2048; }}
http {{
{temporary}
  log_format short '$server_port $request_method $status $request_uri $http_range';
  access_log {work}/access short;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  keepalive_timeout 600;
  client_max_body_size 0;
  client_body_buffer_size {BODY_BUFFER};
  default_type binary/octet-stream;
  upstream back {{ server 127.0.0.1:{back}; keepalive 64; keepalive_requests 1000000; }}
  map $request_method $writes {{ default 1; GET 0; HEAD 0; }}
  server {{
{_listens(ports, certificate)}
    root {root};
    location ~ ^/[^/]+/?$ {{
      {manners.delay()}
      {_PROXY}
    }}
    location / {{
      {manners.delay()} {manners.pace()}
      add_header x-amz-request-id 1 always;
      error_page 418 = @write;
      if ($writes) {{ return 418; }}
      if (-d $request_filename) {{ return 404; }}
      error_page 404 =404 /.no-such-key;
    }}
    location @write {{
      {manners.delay_of_write()}
      client_body_in_file_only on;
      proxy_set_header X-Body $request_body_file;
      {_PROXY}
    }}
    location = /.no-such-key {{
      internal;
      default_type application/xml;
      return 404 '<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>';
    }}
  }}
}}
"""
