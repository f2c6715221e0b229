from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from scmn.demo import access
from scmn.demo.access import LOOPBACK, AccessControl


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the number of bytes of the body, or accept a websocket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def ask(control: AccessControl, *body: bytes, kind: str = "http", **given: str) -> list[Any]:
    """Return what is sent in answer to a request whose body comes in parts."""
    path, method = given.pop("path", "/"), given.pop("method", "GET")
    headers = {"host": "localhost:8080", **given}
    scope = {
        "type": kind,
        "path": path,
        "method": method,
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
    }
    parts: Iterator[bytes] = iter(body or (b"",))
    left = max(len(body), 1)
    sent: list[Any] = []

    async def receive() -> Any:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": next(parts), "more_body": left > 0}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(control(scope, receive, send))
    return sent


def control(**settings: Any) -> AccessControl:
    return AccessControl(
        _echo, **{"hosts": LOOPBACK, "password": None, "body_bytes": 100, **settings}
    )


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost"])
def test_own_host_is_served(host: str) -> None:
    assert ask(control(), host=host, origin=f"http://{host}")[0]["status"] == 200


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"host": "localhost:8080", "origin": "http://localhost:9000"},
        {"host": "["},
        {"origin": "http://["},
    ],
)
def test_other_hosts_and_pages_are_refused(kind: str, headers: dict[str, str]) -> None:
    sent = ask(control(), kind=kind, **headers)
    assert sent[0].get("status", sent[0]["type"]) in (403, "websocket.close")


@pytest.mark.parametrize("length", ["101", "1000000000", "-1", "many"])
def test_announced_large_body_is_refused(length: str) -> None:
    assert ask(control(), b"", content_length=length)[0]["status"] == 413


def test_body_is_counted_where_its_length_is_not_announced() -> None:
    assert ask(control(), b"x" * 60, b"x" * 40)[1]["body"] == b"100"
    assert ask(control(), b"x" * 60, b"x" * 41)[0]["status"] == 413


def test_password_opens_the_page_for_one_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WRONG_PASSWORD_SECONDS", 0)
    guarded = control(hosts=None, password="wörd & 1")
    assert ask(guarded, host="lab.example")[0]["status"] == 303
    assert ask(guarded, kind="websocket")[0]["type"] == "websocket.close"
    assert ask(guarded, path="/login")[0]["status"] == 200
    wrong = ask(guarded, b"password=guess", path="/login", method="POST")
    assert wrong[0]["status"] == 403
    assert b"Wrong password" in wrong[1]["body"]
    right = ask(guarded, b"password=w%C3%B6rd+", b"%26+1", path="/login", method="POST")
    headers = dict(right[0]["headers"])
    assert (right[0]["status"], headers[b"location"]) == (303, b"/")
    cookie = headers[b"set-cookie"].decode()
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    pair = cookie.split(";")[0]
    assert ask(guarded, cookie=pair)[0]["status"] == 200
    assert ask(guarded, kind="websocket", cookie=pair)[0]["type"] == "websocket.accept"
    assert ask(guarded, cookie=f"{pair}x")[0]["status"] == 303
    for others in ('prefs={"a":1}; ', "flag; ", "a=é; "):  # of other servers on this host
        assert ask(guarded, cookie=others + pair)[0]["status"] == 200


def test_long_login_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WRONG_PASSWORD_SECONDS", 0)
    asked, sent = 0, []

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        assert asked < 10
        return {"type": "http.request", "body": b"x" * 4000, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": "/login",
        "method": "POST",
        "headers": [(b"host", b"localhost")],
    }
    asyncio.run(control(password="word")(scope, receive, send))
    assert sent[0]["status"] == 403
    assert asked == 2
