"""Who may talk to the page: the right host, the right password, bodies of a limited size."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOGIN = "/login"
WRONG_PASSWORD_SECONDS = 1.0
"""How long a wrong password takes; the next one waits for it."""
_COOKIE = "scmn_demo"
_SMALL_BODY = 4096
_FORM = """<!doctype html><meta name="viewport" content="width=device-width"><title>scmn</title>
<style>body{{font-family:sans-serif;display:grid;place-content:center;height:90vh}}</style>
<form method="post"><p>{message}</p><input name="password" type="password" autofocus
aria-label="Password"> <button>Open</button></form>"""


class TooLarge(Exception):
    """A request's body exceeds the limit."""


class AccessControl:
    """ASGI middleware in front of the whole page, its websocket included.

    Args:
        app: what is protected.
        hosts: accepted names in the Host header (None: all): without it, a foreign page whose name
            resolves to this machine could read everything.
        password: asked for once per browser (None: not asked).
        body_bytes: limit on the body of a request.
    """

    def __init__(
        self,
        app: Application,
        *,
        hosts: tuple[str, ...] | None,
        password: str | None,
        body_bytes: int,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._password = password
        self._body_bytes = body_bytes
        self._token = secrets.token_urlsafe(32)
        self._guess = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        if not self._is_own(request.headers):
            await _refuse(scope, receive, send, 403, "wrong host or origin")
        elif self._password is not None and not self._is_known(request.cookies):
            await self._ask(scope, receive, send)
        else:
            await self._limited(scope, receive, send, request.headers)

    def _is_own(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request is for this host, and from no other page than ours."""
        host = headers.get("host", "")
        origin = headers.get("origin")
        try:
            if origin is not None and urlsplit(origin).netloc != host:
                return False
            return self._hosts is None or urlsplit(f"//{host}").hostname in self._hosts
        except ValueError:  # neither a host nor an origin
            return False

    def _is_known(self, cookies: Mapping[str, str]) -> bool:
        cookie = cookies.get(_COOKIE, "")
        return hmac.compare_digest(cookie.encode(), self._token.encode())

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _refuse(scope, receive, send, 403, "password required")
            return
        response: Response
        if scope["path"] != LOGIN:
            response = RedirectResponse(scope.get("root_path", "") + LOGIN, 303)
        elif scope["method"] != "POST":
            response = HTMLResponse(_FORM.format(message="Password"))
        elif await self._is_right(await _read_password(receive)):
            response = RedirectResponse("/", 303)
            response.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict")
        else:
            response = HTMLResponse(_FORM.format(message="Wrong password"), 403)
        await response(scope, receive, send)

    async def _is_right(self, given: str) -> bool:
        async with self._guess:  # many guesses at once take no less time
            right = hmac.compare_digest(given.encode(), (self._password or "").encode())
            if not right:
                await asyncio.sleep(WRONG_PASSWORD_SECONDS)
        return right

    async def _limited(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]
    ) -> None:
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._body_bytes:
            await _refuse(scope, receive, send, 413, "too large")
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._body_bytes:  # sent without its length
                raise TooLarge
            return message

        try:
            await self._app(scope, counted, send)
        except TooLarge:
            await _refuse(scope, receive, send, 413, "too large")


async def _read_password(receive: Receive) -> str:
    body = b""
    more = True
    while more and len(body) <= _SMALL_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
    else:
        await PlainTextResponse(reason, status)(scope, receive, send)
