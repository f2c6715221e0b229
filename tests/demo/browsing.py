"""The page as a user sees it: a server of its own, and Debian's Chromium driven by Playwright."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.demo.projects import free_port
from tests.programs import Started, start

START_SECONDS = 120
PATIENCE = 60_000
"""How long the page may take for a step, in milliseconds: the cores may be busy."""


@dataclass
class RunningServer:
    """A server process with a folder for its temporary files."""

    url: str
    temporary: Path
    program: Started

    def session_folders(self) -> list[Path]:
        return list(self.temporary.glob("scmn-demo-*/session-*"))

    def stop(self) -> int:
        """Stop it as Ctrl-C does and return its exit status."""
        self.program.send_signal(signal.SIGINT)
        return self.program.end(timeout=START_SECONDS).returncode


@contextlib.contextmanager
def running_server(folder: Path, *arguments: str) -> Iterator[RunningServer]:
    """Start ``scmn-demo`` and wait until it answers."""
    temporary, printed = folder / "temporary", folder / "printed"
    temporary.mkdir()
    printed.mkdir()
    url = f"http://127.0.0.1:{free_port()}"
    program = start(
        printed,
        *("-m", "scmn.demo.program", "--no-browser", *arguments),
        *("--port", url.rsplit(":", 1)[1]),
        environment={"TMPDIR": str(temporary)},
    )
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(f"{url}/no-such-page"):
            assert program.process.is_alive(), program.end().stderr
            assert time.monotonic() < until
            time.sleep(0.1)
        yield RunningServer(url, temporary, program)
    finally:
        program.process.kill()
        program.process.join()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running_browser() -> Iterator[Any]:
    """Yield Debian's Chromium; skip the test without it, Playwright or NiceGUI."""
    for module in ("nicegui", "playwright"):
        pytest.importorskip(module, reason=f"{module} is not installed (extras demo and dev)")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A tab with the page open."""

    def __init__(self, browser: Any, url: str) -> None:
        self.page = browser.new_context(viewport={"width": 1360, "height": 840}).new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)

    def click(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def upload(self, path: Path | Sequence[Path], *, to: str = "video") -> None:
        self.page.locator(f".{to}-upload input[type=file]").set_input_files(path)

    def wait_for_frame(self, index: int, last: int) -> None:
        self.page.get_by_text(f"frame {index} (0–{last})", exact=True).wait_for()

    def wait_for_message(self, text: str) -> None:
        """Wait for a message that contains a text, and close it."""
        message = self.page.locator(".q-notification", has_text=text)
        message.get_by_role("button", name="OK").click()
        message.wait_for(state="detached")

    def wait_for_run(self, frames: int) -> None:
        self.page.get_by_text(f"{frames} of {frames} frames").wait_for()
        self.page.get_by_role("button", name="Cancel", exact=True).wait_for(state="hidden")

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the frame, as shares of its sides, is in the window."""
        box = self.page.locator(".canvas img").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        """Move the mouse with its button pressed; points are shares of the frame's sides."""
        shown = self.image()
        self.page.mouse.move(*self.position(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.position(*point))
        self.page.mouse.up()
        self.wait_for_other_image(shown)

    def image(self) -> str:
        return str(self.page.locator(".canvas img").get_attribute("src"))

    def wait_for_other_image(self, shown: str) -> None:
        self.page.wait_for_function(
            "shown => document.querySelector('.canvas img').src !== shown", arg=shown
        )

    def download(self, button: str, folder: Path) -> Path:
        with self.page.expect_download() as download:
            self.click(button)
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path
