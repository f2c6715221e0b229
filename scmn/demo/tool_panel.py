"""Tools to draw with, and masks from a file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nicegui import ui
from nicegui.events import MultiUploadEventArguments, ValueChangeEventArguments

from scmn.data.masks import read_label_map
from scmn.demo.canvas import TOOLS, Tool
from scmn.demo.footage import in_users_words
from scmn.demo.messages import complain, told
from scmn.demo.uploads import receive

if TYPE_CHECKING:
    from scmn.demo.page import Page

SIZES = (1, 120)
"""Of the brush, in pixels of the frame."""


class ToolPanel:
    """The tool and its size, undo, the mask of a frame from a file, or none."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with ui.row(wrap=False).classes("w-full items-center gap-1"):
            tools = ui.toggle(list(TOOLS), value=page.canvas.tool, on_change=self._choose)
            tools.props("no-caps dense padding='4px 10px'")
            ui.space()
            for icon, tip, action in (
                ("undo", "undo", page.undo),
                ("layers_clear", "remove this frame's masks", self._clear),
                ("upload_file", "mask of this frame from a PNG", self._pick),
            ):
                button = ui.button(icon=icon, on_click=action).props("flat dense")
                button.props(f'aria-label="{tip}"').tooltip(tip)
        self._hint = ui.label(TOOLS[page.canvas.tool]).classes("text-sm text-gray-600")
        with ui.row(wrap=False).classes("w-full items-center gap-3"):
            ui.label("Size")
            low, high = SIZES
            size = ui.slider(min=low, max=high, value=page.canvas.diameter).props("label")
            size.bind_value_to(page.canvas, "diameter")
        self._upload = ui.upload(
            auto_upload=True,
            multiple=True,
            max_files=1,
            max_file_size=page.session.server.limits.upload_bytes,
            on_multi_upload=self._received,
            on_rejected=lambda: complain("one mask at a time, please, and not too large a file"),
        )
        self._upload.classes("hidden mask-upload").props("accept=.png,image/png")

    def _choose(self, event: ValueChangeEventArguments[Tool]) -> None:
        self._page.canvas.discard()
        self._page.canvas.tool = event.value
        self._hint.set_text(TOOLS[event.value])

    def _clear(self) -> None:
        with told():
            self._page.project.clear(self._page.frame)
            self._page.refresh()

    def _pick(self) -> None:
        self._upload.run_method("pickFiles")

    async def _received(self, event: MultiUploadEventArguments) -> None:
        self._upload.reset()
        page = self._page
        with told():
            project, index = page.project, page.frame
            (upload,) = await receive(event.files, page.session.folder)
            try:
                with in_users_words([upload]):
                    labels = await asyncio.to_thread(read_label_map, upload.path)
            finally:
                upload.path.unlink()
            if project is page.project:
                project.replace_labels(index, labels)
        page.refresh()
