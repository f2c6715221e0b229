"""Segmenting: settings, progress, and downloads of the result."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nicegui import ui

from scmn.demo.downloads import DOWNLOADS, write_download
from scmn.demo.messages import complain, told, waiting
from scmn.demo.segmentation import Direction, Progress
from scmn.demo.settings_panel import SettingsPanel

if TYPE_CHECKING:
    from scmn.demo.page import Page

POLL_SECONDS = 0.25


class RunPanel:
    """Starts and cancels runs, shows how far they are, and offers files."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._following = page.session.busy
        self._seen = page.session.project, page.session.run
        self._settings = SettingsPanel(page.session.server)
        with ui.row(wrap=False).classes("w-full items-center gap-2"):
            self._backward = ui.button("Backward", icon="arrow_back")
            self._forward = ui.button("Segment", icon="play_arrow")
            self._backward.on_click(lambda: self._start("backward")).props("outline no-caps")
            self._forward.on_click(lambda: self._start("forward")).props("no-caps")
            self._forward.tooltip("from this frame to the end")
            self._backward.tooltip("from this frame back to the beginning")
            self._cancel = ui.button("Cancel", on_click=self._stop).props("flat no-caps")
        self._bar = ui.linear_progress(value=0, show_value=False)
        self._text = ui.label().classes("text-sm")
        with ui.row(wrap=False).classes("w-full items-center gap-0"):
            ui.icon("download", size="sm").classes("text-primary")
            for kind, content in DOWNLOADS.items():
                button = ui.button(kind).props("flat dense no-caps padding='4px 8px'")
                button.on_click(lambda kind=kind: self._download(kind)).tooltip(content)
        ui.timer(POLL_SECONDS, self._poll)

    def show(self) -> None:
        """Offer what can be done now."""
        busy = self._page.session.busy
        ready = self._page.session.project is not None and not busy
        self._forward.set_enabled(ready)
        self._backward.set_enabled(ready)
        self._cancel.set_visibility(busy)
        self._bar.set_visibility(busy)

    async def _start(self, direction: Direction) -> None:
        page = self._page
        with told():
            self._forward.disable()
            self._backward.disable()
            self._text.set_text("starting")
            await asyncio.to_thread(
                page.session.segment,
                self._settings.settings,
                start=page.frame,
                direction=direction,
            )
            self._following = True
        if not self._following:
            self._text.set_text("")
        page.refresh()

    def _stop(self) -> None:
        if self._page.session.run is not None:
            self._page.session.run.cancel()

    def _poll(self) -> None:
        """Follow a run and show its end, whether this page or an earlier one began it."""
        session = self._page.session
        current = session.run
        if self._seen != (session.project, current):
            self._seen = session.project, current
            self._following = current is not None
            self._page.refresh()
        if not self._following or current is None:
            return
        finished = current.finished
        progress = current.progress
        self._bar.set_value(progress.done / progress.total)
        self._text.set_text(_describe(progress))
        if progress.frame is not None:
            self._page.show_frame(progress.frame)
        if finished:
            self._following = False
            if current.error is not None:
                complain(current.error)
            self._page.refresh()

    async def _download(self, kind: str) -> None:
        with told(), waiting(f"writing: {DOWNLOADS[kind]}"):
            _ = self._page.project  # no run is changing it
            path, name = await asyncio.to_thread(write_download, self._page.session, kind)
            ui.download.file(path, name)


def _describe(progress: Progress) -> str:
    text = f"{progress.done} of {progress.total} frames"
    if progress.rate is not None and progress.seconds_left is not None:
        text += f", {progress.rate:.1f} frames/s"
        if progress.done < progress.total:
            text += f", {progress.seconds_left:.0f} s left"
    return text
