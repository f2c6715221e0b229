"""The command line of the page: ``scmn-demo``."""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scmn.errors import InputError
from scmn.program import ArgumentParser, run_program

DESCRIPTION = """Serve a page to draw masks on a video, segment it and correct it."""
EXAMPLES = """
    %(prog)s
    %(prog)s --weights stcn.pth --device cuda
    %(prog)s --host 0.0.0.0 --no-browser

On another address than this machine's own the page asks for a password: that in the environment
variable SCMN_DEMO_PASSWORD, or one that is made up and printed. The connection is not encrypted:
put a proxy with TLS in front of it on a network that you do not trust.
"""
PASSWORD_VARIABLE = "SCMN_DEMO_PASSWORD"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; ``arguments`` None: those of the command line."""
    run_program(lambda: _serve(_parser().parse_args(arguments)))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=8080, help="(%(default)s)")
    add(
        "--weights",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="offer these weights besides the bundled ones (repeatable)",
    )
    add("--device", default="cpu", help="auto, cpu, cuda, cuda:N, mps (%(default)s)")
    add("--max-upload", type=int, default=100, metavar="MB", help="per upload (%(default)s)")
    add("--max-frames", type=int, default=1000, metavar="N", help="per video (%(default)s)")
    add(
        "--keep",
        type=float,
        default=30,
        metavar="SECONDS",
        help="how long the work of a tab that has gone is kept, should it return (%(default)s)",
    )
    add("--no-browser", action="store_true", help="do not open the page in a browser")
    return parser


def _serve(given: argparse.Namespace) -> None:
    if importlib.util.find_spec("nicegui") is None:
        raise InputError("scmn-demo needs NiceGUI: pip install 'scmn[demo]'")
    for name in ("max_upload", "max_frames", "keep"):
        if getattr(given, name) <= 0:
            raise InputError(f"--{name.replace('_', '-')} must be above 0")
    if not 0 < given.port < 2**16:
        raise InputError(f"--port must be 1..65535, not {given.port}")
    _require_free(given.host, given.port)
    root = Path(tempfile.mkdtemp(prefix="scmn-demo-"))
    try:
        # Also what the web server writes of an upload before it is complete.
        tempfile.tempdir = str(root)
        os.environ["NICEGUI_STORAGE_PATH"] = str(root / "storage")
        _run_page(given, root)
    except KeyboardInterrupt:
        print("stopped")
    finally:
        tempfile.tempdir = None
        shutil.rmtree(root, ignore_errors=True)


def _run_page(given: argparse.Namespace, root: Path) -> None:
    from scmn.demo.footage import MEGABYTE, Limits
    from scmn.demo.segmentation import Networks
    from scmn.demo.session import Server
    from scmn.demo.site import serve
    from scmn.inference.devices import resolve_device

    limits = Limits(upload_bytes=given.max_upload * MEGABYTE, frames=given.max_frames)
    server = Server(root, Networks(given.weights), str(resolve_device(given.device)), limits)
    password = None
    if not _is_loopback(given.host):
        password = os.environ.get(PASSWORD_VARIABLE)
        if not password:
            password = secrets.token_urlsafe(9)
            print(f"password: {password}", flush=True)
    print(f"the page is at http://{_shown(given.host)}:{given.port}; Ctrl-C stops it", flush=True)
    serve(
        server,
        host=given.host,
        port=given.port,
        password=password,
        keep_seconds=given.keep,
        browser=not given.no_browser,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _require_free(host: str, port: int) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InputError(f"cannot listen on {host}:{port}: {error}") from error


if __name__ == "__main__":
    main()
