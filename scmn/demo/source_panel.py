"""Where the video comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui
from nicegui.events import MultiUploadEventArguments

from scmn.demo.footage import MEGABYTE
from scmn.demo.messages import complain, told
from scmn.demo.uploads import receive

if TYPE_CHECKING:
    from scmn.demo.page import Page

MOST_FILES = 1000
"""In one upload: Starlette accepts no more."""


class SourcePanel:
    """Upload of a video or of images, and the sample."""

    def __init__(self, page: Page) -> None:
        self._page = page
        limits = page.session.server.limits
        self._files = min(limits.frames, MOST_FILES)
        self._most = f"{limits.upload_bytes / MEGABYTE:g} MB"
        ui.add_css(".q-uploader__list { display: none }")
        with ui.row(wrap=False).classes("w-full items-center gap-2"):
            self._upload = ui.upload(
                label=f"video or images, up to {self._most}",
                multiple=True,
                auto_upload=True,
                max_total_size=limits.upload_bytes,
                max_files=self._files,
                on_multi_upload=self._received,
                on_rejected=self._rejected,
            )
            self._upload.props("flat bordered").classes("grow min-w-0 video-upload")
            ui.button("Sample", on_click=self._sample).props("outline no-caps")

    async def _received(self, event: MultiUploadEventArguments) -> None:
        self._upload.reset()
        with told():
            uploads = await receive(event.files, self._page.session.folder)
            await self._page.open(uploads)

    def _rejected(self) -> None:
        complain(f"too large: an upload may have {self._most} and {self._files} files")

    async def _sample(self) -> None:
        await self._page.open(None)
