"""Where the video comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui
from nicegui.events import MultiUploadEventArguments

from scmn.demo.messages import complain
from scmn.demo.uploads import receive

if TYPE_CHECKING:
    from scmn.demo.page import Page

MEGABYTE = 2**20


class SourcePanel:
    """Upload of a video or of images, and the sample."""

    def __init__(self, page: Page) -> None:
        self._page = page
        limits = page.session.server.limits
        self._most = f"{limits.upload_bytes / MEGABYTE:g} MB"
        ui.add_css(".q-uploader__list { display: none }")
        with ui.row(wrap=False).classes("w-full items-center gap-2"):
            self._upload = ui.upload(
                label=f"video or images, up to {self._most}",
                multiple=True,
                auto_upload=True,
                max_total_size=limits.upload_bytes,
                max_files=limits.frames,
                on_multi_upload=self._received,
                on_rejected=self._rejected,
            )
            self._upload.props("flat bordered").classes("grow min-w-0 video-upload")
            ui.button("Sample", on_click=self._sample).props("outline no-caps")

    async def _received(self, event: MultiUploadEventArguments) -> None:
        self._upload.reset()
        await self._page.open(await receive(event.files, self._page.session.folder))

    def _rejected(self) -> None:
        frames = self._page.session.server.limits.frames
        complain(f"too large: an upload may have {self._most} and {frames} files")

    async def _sample(self) -> None:
        await self._page.open(None)
