"""Proxies in front of a tree: nginx and Caddy, each plain, with TLS, and with TLS on both sides."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection
from typing import NamedTuple
from urllib.parse import urlsplit

from ssm_cli.http.client.wire import request_bytes
from tests.http.limited import BEARER
from tests.http.serving import Answer, answers_from
from tests.ports import free_ports

STARTS_S = 180.0
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream tree {{ server 127.0.0.1:{tree}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{plain};
    location / {{ proxy_pass http://127.0.0.1:{tree}; }}
  }}
  server {{
    listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate {cert}; ssl_certificate_key {key};
    location / {{
      proxy_pass http://tree; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
    }}
    location /below/ {{
      proxy_pass https://127.0.0.1:{tree_tls}/; proxy_http_version 1.1;
      proxy_ssl_trusted_certificate {cert}; proxy_ssl_verify on; proxy_ssl_name localhost;
    }}
  }}
}}
"""
CADDY = """
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{plain} {{
  reverse_proxy 127.0.0.1:{tree}
}}
https://localhost:{tls} {{
  bind 127.0.0.1
  tls {cert} {key}
  handle_path /below/* {{
    reverse_proxy https://localhost:{tree_tls} {{
      transport http {{
        tls_trusted_ca_certs {cert}
      }}
    }}
  }}
  reverse_proxy 127.0.0.1:{tree}
}}
"""
PROXIES = {
    "nginx": (NGINX, "-p {folder} -e stderr -c {file}"),
    "caddy": (CADDY, "run --config {file} --adapter caddyfile"),
}
WAYS = [f"{name}{how}" for name in PROXIES for how in ("", "-tls", "-tls-tls")]


def program_of(way: str) -> str | None:
    """Where the proxy of a way is; nginx is not on everybody's path."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    return shutil.which(way.partition("-")[0], path=path)


class Way(NamedTuple):
    """A way to a tree: its URL, and the file of the certificate that its TLS has."""

    name: str
    url: str
    trusted: Path

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        context = ssl.create_default_context(cafile=str(self.trusted)) if secure else None
        return await asyncio.open_connection(parts.hostname, parts.port, ssl=context)

    def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
        """The bytes of a request with the token."""
        parts = urlsplit(self.url)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        where = f"{parts.path}{target}"
        return request_bytes(method, where, parts.netloc, body, BEARER | named)

    async def talk(self, *requests: bytes) -> list[Answer]:
        """The answers to requests on one connection, one after the other."""
        reader, writer = await self.connect()
        found = []
        try:
            for request in requests:
                writer.write(request)
                found += await answers_from(reader, 1)
        finally:
            await hang_up(writer)
        return found


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection at once, and its socket."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


@contextmanager
def proxy(
    name: str, folder: Path, trees: tuple[int, int], pair: tuple[Path, Path]
) -> Iterator[dict[str, Way]]:
    """A proxy before two trees, the second of which has TLS; the ways through it."""
    plain, tls = free_ports(2)
    template, words = PROXIES[name]
    file, out = folder / f"{name}.conf", folder / f"{name}.out"
    cert, key = pair
    (tree, tree_tls) = trees
    file.write_text(
        template.format(
            folder=folder, tree=tree, tree_tls=tree_tls, plain=plain, tls=tls, cert=cert, key=key
        )
    )
    command = [str(program_of(name)), *words.format(folder=folder, file=file).split()]
    environ = os.environ | dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    with out.open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log)  # fmt: skip
    try:
        for port in (plain, tls):
            until_it_listens(process, port, out)
        yield {
            name + how: Way(name + how, url, cert)
            for how, url in (
                ("", f"http://127.0.0.1:{plain}"),
                ("-tls", f"https://localhost:{tls}"),
                ("-tls-tls", f"https://localhost:{tls}/below"),
            )
        }
    finally:
        process.terminate()
        process.wait(STARTS_S)


def until_it_listens(process: subprocess.Popen[bytes], port: int, out: Path) -> None:
    ends_s = time.monotonic() + STARTS_S
    while time.monotonic() < ends_s and process.poll() is None:
        with suppress(OSError), create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"it does not listen at {port}: {out.read_text()}")
