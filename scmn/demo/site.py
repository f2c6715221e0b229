"""The web server: one page, a session per tab."""

from __future__ import annotations

import asyncio
from collections import Counter

from nicegui import Client, app, ui

from scmn.demo.access import LOOPBACK, AccessControl
from scmn.demo.page import Page
from scmn.demo.session import Server, Session

BODY_MARGIN = 2**20
"""A form is longer than its files."""
HISTORY = 50
"""Messages kept for a tab whose connection breaks; many hold a picture."""


def serve(
    server: Server,
    *,
    host: str,
    port: int,
    password: str | None,
    keep_seconds: float,
    browser: bool,
) -> None:
    """Serve the page until a signal comes.

    Args:
        server: what sessions share.
        host: address to listen on.
        port: to listen on.
        password: asked for if not None; then other names of this host than loopback are accepted.
        keep_seconds: how long a session outlives its tab.
        browser: whether to open the page in a browser.
    """
    sessions: dict[str, Session] = {}
    tabs: Counter[str] = Counter()

    @ui.page("/", reconnect_timeout=keep_seconds)
    async def index(client: Client) -> None:
        await client.connected()
        tab = client.tab_id
        if tab is None:  # it disconnected before the handshake
            return
        # A page that is reloaded is a new client in the same tab.
        if tab not in sessions:
            sessions[tab] = Session(server)
        tabs[tab] += 1

        async def leave() -> None:
            tabs[tab] -= 1
            if not tabs[tab]:
                del tabs[tab]
                await asyncio.to_thread(sessions.pop(tab).close)

        client.on_delete(leave)
        Page(sessions[tab])

    @app.on_shutdown
    def close_all() -> None:
        for session in sessions.values():
            session.close()

    app.add_middleware(
        AccessControl,
        hosts=(*LOOPBACK, host) if password is None else None,
        password=password,
        body_bytes=server.limits.upload_bytes + BODY_MARGIN,
    )
    ui.run(
        host=host,
        port=port,
        title="scmn",
        reload=False,
        show=browser,
        show_welcome_message=False,
        message_history_length=HISTORY,
    )
