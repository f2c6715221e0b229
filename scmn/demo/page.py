"""The page: a thin layer of NiceGUI over a session."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicegui import ui

from scmn.data.boxes import box_mask
from scmn.demo.canvas import Canvas, Marks
from scmn.demo.drawing import box, polygon, stroke
from scmn.demo.footage import Upload
from scmn.demo.messages import told, waiting
from scmn.demo.object_panel import ObjectPanel
from scmn.demo.project import Project
from scmn.demo.run_panel import RunPanel
from scmn.demo.session import Session
from scmn.demo.source_panel import SourcePanel
from scmn.demo.timeline import Timeline
from scmn.demo.tool_panel import ToolPanel
from scmn.errors import InputError
from scmn.visualization import overlay

OPACITY = 0.45
"""Of masks over the frame."""


class Page:
    """What one tab shows.

    Attributes:
        session: what it shows.
        frame: index of the frame that is shown.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.frame = 0
        with ui.row(wrap=False).classes("w-full items-start gap-4"):
            with ui.column().classes("grow min-w-0 gap-1"):
                self.canvas = Canvas(self._draw)
                with ui.row(wrap=False).classes("w-full items-center gap-4"):
                    self._slider = ui.slider(min=0, max=0, value=0, on_change=self._slid)
                    self._slider.classes("grow ml-2")
                    self._position = ui.label("no video").classes("w-32 text-right")
                self.timeline = Timeline(self.go_to)
            with ui.column().classes("w-96 shrink-0 gap-2"):
                SourcePanel(self)
                ToolPanel(self)
                self.objects = ObjectPanel(self)
                self.runs = RunPanel(self)
        self.refresh()

    @property
    def project(self) -> Project:
        """The project; InputError if there is none yet, or a run is changing it."""
        if self.session.project is None:
            raise InputError("load a video first: upload one, or take the sample")
        if self.session.busy:
            raise InputError("wait for the end of the segmentation, or cancel it")
        return self.session.project

    async def open(self, uploads: Sequence[Upload] | None) -> None:
        """Start a project from uploaded files, or with the sample (None)."""
        with told(), waiting("reading the video"):
            if uploads is None:
                await asyncio.to_thread(self.session.open_sample)
            else:
                await asyncio.to_thread(self.session.open_uploads, uploads)
            self.frame = 0
            self.canvas.discard()
        self.refresh()

    def go_to(self, index: int) -> None:
        """Show another frame."""
        with told():
            self.frame = min(max(index, 0), len(self.project.footage) - 1)
            self.canvas.discard()
            self.refresh()

    def undo(self) -> None:
        """Take back the last corner of a polygon that is being drawn, or else the last change."""
        with told():
            if not self.canvas.take_back():
                self.project.undo()
                self.refresh()

    def refresh(self) -> None:
        """Show the present state of the session."""
        project = self.session.project
        ready = project is not None and not self.session.busy
        self.canvas.enabled = ready
        self._slider.set_enabled(ready)
        if project is not None:
            self.show_frame(self.frame)
            self.timeline.show(project, self.frame)
        self.objects.show()
        self.runs.show()

    def show_frame(self, index: int) -> None:
        """Show a frame with its masks."""
        project = self.session.project
        if project is None:
            return
        self.frame = index
        image = project.footage.image(index)
        labels = project.labels(index)
        self.canvas.show(overlay(image, labels, opacity=OPACITY, palette=project.palette))
        last = len(project.footage) - 1
        self._slider.props(f"max={last}")
        self._slider.set_value(index)
        self._position.set_text(f"frame {index} (0–{last})")

    def _slid(self) -> None:
        if int(self._slider.value) != self.frame:
            self.go_to(int(self._slider.value))

    async def _draw(self, marks: Marks) -> None:
        """Change the selected object's mask by what the user drew."""
        with told():
            project, index, object_id = self.project, self.frame, self.objects.selected
            if object_id is None:
                raise InputError("add an object first")
            if marks.tool == "polygon":
                marked = polygon(project.footage.size, marks.points)
            elif marks.tool == "box":
                around = box(project.footage.size, marks.points[0], marks.points[-1])
                marked = await asyncio.to_thread(box_mask, project.footage.image(index), around)
            else:
                marked = stroke(project.footage.size, marks.points, marks.diameter)
            if project is self.project and object_id in project.objects:
                project.draw(index, object_id, marked, erase=marks.tool == "eraser")
        self.refresh()
