"""The picture that the user draws on: mouse events become marks."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from nicegui import ui
from nicegui.events import MouseEventArguments

from scmn.demo.drawing import Point

Tool = Literal["brush", "eraser", "polygon", "box"]
TOOLS: dict[Tool, str] = {
    "brush": "Paint the selected object.",
    "eraser": "Erase from the selected object.",
    "polygon": "Click the corners; click the first one again to close.",
    "box": "Drag a box around the object: GrabCut finds it.",
}
"""Tools, and how they are used."""

CLOSING_DISTANCE = 0.02
"""A click this near the first corner closes a polygon, as a share of the frame's width."""
JPEG_QUALITY = 90
HEIGHT = "62vh"
"""Largest height of the picture, in CSS."""


@dataclass(frozen=True)
class Marks:
    """What the user drew with a tool: points (x, y) in pixels of the frame."""

    tool: Tool
    points: tuple[Point, ...]
    diameter: float
    """Of the brush, in pixels of the frame."""


class Canvas:
    """A picture with tools to draw on it.

    Attributes:
        tool: what the mouse does.
        diameter: of the brush and the eraser, in pixels of the frame.
        colour: of what is being drawn, "#rrggbb".
        enabled: whether the mouse draws.
    """

    def __init__(self, on_marks: Callable[[Marks], Awaitable[None]]) -> None:
        self.tool: Tool = "brush"
        self.diameter = 20.0
        self.colour = "#ffffff"
        self.enabled = False
        self._on_marks = on_marks
        self._points: list[Point] = []
        self._pointer: Point | None = None
        self._pressed = False
        self._size = (0, 0)
        self._image = ui.interactive_image(
            events=["mousedown", "mousemove", "mouseup", "mouseleave"],
            on_mouse=self._mouse,
            sanitize=False,  # the content is ours: numbers and a colour
        )
        self._image.classes("canvas w-full bg-black cursor-crosshair select-none")

    def show(self, image: np.ndarray) -> None:
        """Show a picture, uint8 (H, W, 3) RGB."""
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        height, width = self._size = image.shape[:2]
        self._image.style(f"max-width: calc({HEIGHT} * {width / height:.4f})")
        self._image.set_source(
            f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
        )

    def discard(self) -> None:
        """Forget what has been begun: a stroke, the corners of a polygon, a box."""
        self._points.clear()
        self._pressed = False
        self._draw_preview()

    def take_back(self) -> bool:
        """Remove the last corner of a polygon; return whether there was one."""
        if self.tool != "polygon" or not self._points:
            return False
        self._points.pop()
        self._draw_preview()
        return True

    async def finish(self) -> None:
        """Take what has been begun as complete."""
        marks = Marks(self.tool, tuple(self._points), self.diameter)
        self.discard()
        if marks.points:
            await self._on_marks(marks)

    async def _mouse(self, event: MouseEventArguments) -> None:
        if not self.enabled:
            return
        point = self._pointer = (event.image_x, event.image_y)
        if self.tool == "polygon":
            await self._click(event.type, point)
        elif event.type == "mousedown" and event.button == 0:
            self._points = [point]
            self._pressed = True
        elif event.type == "mousemove" and self._pressed:
            self._points.append(point)
        elif event.type in ("mouseup", "mouseleave") and self._pressed:
            self._points.append(point)
            await self.finish()
        if event.type == "mouseleave":
            self._pointer = None
        self._draw_preview()

    async def _click(self, event: str, point: Point) -> None:
        if event != "mousedown":
            return
        reach = max(4.0, CLOSING_DISTANCE * self._size[1])
        if len(self._points) >= 3 and np.hypot(*np.subtract(point, self._points[0])) < reach:
            await self.finish()
        else:
            self._points.append(point)

    def _draw_preview(self) -> None:
        self._image.set_content(
            _preview(self.tool, self._points, self._pointer, self.diameter, self.colour)
        )


def _preview(
    tool: Tool, points: Sequence[Point], pointer: Point | None, diameter: float, colour: str
) -> str:
    """Return SVG of what has been begun and of the brush under the pointer."""
    thin = 'fill="none" stroke-width="2" vector-effect="non-scaling-stroke"'
    line = f'{thin} stroke="{colour}"'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if tool == "polygon":
        corners = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points
        )
        return f'<polyline points="{path}" {line}/>{corners}'
    if tool == "box":
        if len(points) < 2:
            return ""
        (left, right), (top, bottom) = (
            sorted(ends) for ends in zip(points[0], points[-1], strict=True)
        )
        size = f'width="{right - left:.1f}" height="{bottom - top:.1f}"'
        return f'<rect x="{left:.1f}" y="{top:.1f}" {size} {line}/>'
    tint = colour if tool == "brush" else "#ffffff"
    content = ""
    if points:
        content = (
            f'<polyline points="{path} {path.split(" ")[-1]}" fill="none" stroke="{tint}" '
            f'stroke-width="{diameter:.1f}" stroke-linecap="round" stroke-linejoin="round" '
            'opacity="0.6"/>'
        )
    if pointer is not None:
        x, y = pointer
        content += (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{diameter / 2:.1f}" {thin} stroke="{tint}"/>'
        )
    return content
