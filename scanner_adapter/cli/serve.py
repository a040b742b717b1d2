"""`scanrank serve`: the HTTP service and the live page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from bandit.errors import InvalidInputError
from scanner_adapter.cli.options import NotifyUrls, PageUrl, StoreUrl


def serve(
    store: StoreUrl = "embedded://",
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on. Any non-loopback address requires a token.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535)] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with the token, mode 600; default: variable SCANRANK_TOKEN."
        ),
    ] = None,
    read_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with a read-only token; default: variable SCANRANK_READ_TOKEN.",
        ),
    ] = None,
    scanners: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="Scanners that may be started over HTTP."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Additional host name to accept; can be given more than once."
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="IP address of a reverse proxy whose X-Forwarded-For is trusted; can be given "
            "more than once.",
        ),
    ] = None,
    requests_per_s: Annotated[
        float,
        typer.Option(
            metavar="N",
            help="Requests per second allowed per client address; bursts of up to twice that.",
        ),
    ] = 100.0,
    notify: NotifyUrls = None,
    page: PageUrl = None,
) -> None:  # fmt: skip
    """Serve running scans to browsers and over HTTP; works through the store alone."""
    try:
        from scanner_adapter.service.server import serve as serve_
        from scanner_adapter.service.settings import (
            READ_TOKEN_VARIABLE,
            ServiceSettings,
            check_hosts,
            read_scanners,
            read_token,
        )
    except ModuleNotFoundError as err:
        if (err.name or "").partition(".")[0] in ("scanner_adapter", "bandit", "features"):
            raise  # a defect of ours
        raise InvalidInputError(
            f"serve needs {err.name}, which is not installed: pip install 'scanrank[api]'"
        ) from err
    settings = ServiceSettings(
        store=store,
        host=host,
        port=port,
        token=read_token(token_file),
        read_token=read_token(read_token_file, READ_TOKEN_VARIABLE),
        trusted_proxies=tuple(trusted_proxy or ()),
        allowed_hosts=check_hosts(allow_host or []),
        scanners={} if scanners is None else read_scanners(scanners),
        requests_per_s=requests_per_s,
        notify=tuple(notify or ()),
        page=page,
    )
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    serve_(settings)
