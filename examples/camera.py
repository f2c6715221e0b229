#!/usr/bin/env python
"""Segment what a camera sees, live: draw a box around an object with the mouse.

    python examples/camera.py
    python examples/camera.py --source my.mp4 --size 240
    python examples/camera.py --weights stcn.pth --device cuda --precision bf16

Each box adds an object. Key r starts over, q ends. Needs tkinter (Debian: python3-tk).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from scmn import InputError, VideoSegmenter, build_model, overlay
from scmn.data.boxes import Box, box_mask
from scmn.inference.base import Segmenter
from scmn.program import ArgumentParser, run_program
from scmn.weights.files import DEFAULT_MODEL, DEFAULT_WEIGHTS, read_weights


class Capture(Protocol):
    """What this needs of ``cv2.VideoCapture``."""

    def read(self) -> tuple[bool, Any]: ...


class LatestFrame:
    """The newest frame of a capture, read in a thread.

    Frames that nobody took are dropped: without that, a network slower than the camera would fall
    behind it more and more. A recording waits instead (``live=False``).
    """

    def __init__(self, capture: Capture, *, live: bool = True) -> None:
        self._capture = capture
        self._live = live
        self._news = threading.Condition()
        self._frame: np.ndarray | None = None
        self._ended = False
        self.dropped = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while not self._ended:
            good, frame = self._capture.read()
            with self._news:
                if not self._live:
                    self._news.wait_for(lambda: self._frame is None or self._ended)
                if good:
                    self.dropped += self._frame is not None
                    self._frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                else:
                    self._ended = True
                self._news.notify()

    def take(self) -> np.ndarray | None:
        """Wait for a frame that was not taken yet, uint8 (H, W, 3) RGB; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._frame is not None or self._ended)
            frame, self._frame = self._frame, None
            self._news.notify()
        return frame

    def close(self) -> None:
        """Stop reading."""
        with self._news:
            self._ended = True
            self._news.notify()


class LiveObjects:
    """The objects that are being segmented; boxes add further ones."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter

    def step(self, frame: np.ndarray) -> np.ndarray:
        """Segment the next frame; return it under its masks."""
        return overlay(frame, self.segmenter.step(frame).labels)

    def add(self, frame: np.ndarray, box: Box) -> np.ndarray:
        """Add the object in a box on this frame; return the frame under its masks.

        Raises InputError if no object is found in the box.
        """
        new_id = max(self.segmenter.object_ids, default=0) + 1
        labels = box_mask(frame, box).astype(np.uint8) * np.uint8(new_id)
        return overlay(frame, self.segmenter.step(frame, labels).labels)


class Window:
    """The picture, which stands still while a box is drawn on it."""

    def __init__(self, frames: LatestFrame, objects: LiveObjects) -> None:
        import tkinter

        self._frames, self._objects = frames, objects
        self._root = tkinter.Tk()
        self._canvas = tkinter.Canvas(self._root)
        self._canvas.pack()
        self._frame: np.ndarray | None = None
        self._corner: tuple[int, int] | None = None
        self._note = "draw a box around an object"
        self._canvas.bind("<ButtonPress-1>", self._press)
        self._canvas.bind("<B1-Motion>", self._drag)
        self._canvas.bind("<ButtonRelease-1>", self._release)
        self._root.bind("q", lambda _: self._root.destroy())
        self._root.bind("r", lambda _: self._objects.segmenter.reset())
        self._root.after(0, self._next)

    def run(self) -> None:
        """Show frames until the window is closed or the video ends."""
        self._root.mainloop()

    def _next(self) -> None:
        if self._corner is None:
            start = time.perf_counter()
            self._frame = self._frames.take()
            if self._frame is None:
                self._root.destroy()
                return
            self._show(self._objects.step(self._frame))
            rate = 1 / (time.perf_counter() - start)
            self._root.title(f"{rate:.1f} frames/s, {self._frames.dropped} dropped: {self._note}")
        self._root.after(1, self._next)

    def _show(self, image: np.ndarray) -> None:
        from PIL import Image, ImageTk

        self._picture = ImageTk.PhotoImage(Image.fromarray(image))  # Tk does not keep it
        self._canvas.config(width=image.shape[1], height=image.shape[0])
        self._canvas.delete("all")
        self._canvas.create_image(0, 0, image=self._picture, anchor="nw")

    def _press(self, event: Any) -> None:
        self._corner = (event.x, event.y)

    def _drag(self, event: Any) -> None:
        if self._corner is not None:
            self._canvas.delete("box")
            self._canvas.create_rectangle(
                *self._corner, event.x, event.y, outline="yellow", width=2, tags="box"
            )

    def _release(self, event: Any) -> None:
        if self._corner is None or self._frame is None:
            return
        (x0, x1), (y0, y1) = sorted((self._corner[0], event.x)), sorted((self._corner[1], event.y))
        self._corner = None
        try:
            self._show(self._objects.add(self._frame, (x0, y0, x1 - x0, y1 - y0)))
            self._note = f"{len(self._objects.segmenter.object_ids)} objects"
        except InputError as error:
            self._note = str(error)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("--source", default="0", help="number of the camera, video file or stream (%(default)s)")
    add("--weights", default=DEFAULT_WEIGHTS, help="weights file that names its model")
    add("--size", type=int, default=240, help="shorter side at the network (%(default)s)")
    add("--device", default="auto")
    add("--precision", default="fp32", choices=("fp32", "tf32", "bf16", "fp16"))
    given = parser.parse_args(arguments)
    file = read_weights(given.weights)
    name = DEFAULT_MODEL if file.description is None else file.description.name
    segmenter = VideoSegmenter(
        build_model(name, weights=file),
        size=given.size,
        device=given.device,
        precision=given.precision,
        memory={"max_frames": 4},  # it may run for days
    )
    source = int(given.source) if given.source.isdecimal() else given.source
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise InputError(f"cannot open camera or video '{given.source}'")
    frames = LatestFrame(capture, live=not Path(given.source).is_file())
    try:
        Window(frames, LiveObjects(segmenter)).run()
    finally:
        frames.close()


if __name__ == "__main__":
    run_program(main)
