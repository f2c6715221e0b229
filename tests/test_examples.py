"""The live camera, without a camera and a window."""

from __future__ import annotations

import importlib.util
import queue
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from scmn import InputError, VideoSegmenter, build_model
from tests.conftest import REPOSITORY
from tests.programs import run_here


@pytest.fixture(scope="module")
def camera() -> ModuleType:
    spec = importlib.util.spec_from_file_location("camera", REPOSITORY / "examples/camera.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Frames:
    """A capture that gives what is put into it."""

    def __init__(self) -> None:
        self.given: queue.Queue[tuple[bool, Any]] = queue.Queue()
        self.asked = 0

    def read(self) -> tuple[bool, Any]:
        self.asked += 1
        frame = self.given.get(timeout=60)
        self.given.task_done()
        return frame

    def put(self, *levels: int) -> None:
        """Give frames with these levels of blue, and wait until all are read."""
        for level in levels:
            self.given.put((True, np.full((4, 4, 3), (level, 0, 0), np.uint8)))
        while self.given.qsize():
            pass


def test_latest_frame_drops_what_was_not_taken(camera: ModuleType) -> None:
    capture = Frames()
    frames = camera.LatestFrame(capture)
    capture.put(1, 2, 3)
    capture.put(4)
    while frames.dropped < 3:  # the last one is being kept
        pass
    taken = frames.take()
    assert taken[0, 0].tolist() == [0, 0, 4], "RGB, the newest"
    capture.given.put((False, None))
    assert frames.take() is None


def test_latest_frame_of_a_recording_is_each_frame(camera: ModuleType) -> None:
    capture = Frames()
    frames = camera.LatestFrame(capture, live=False)
    for level in (1, 2, 3):
        capture.given.put((True, np.full((4, 4, 3), (level, 0, 0), np.uint8)))
    capture.given.put((False, None))
    taken = [frames.take() for _ in range(4)]
    assert [frame if frame is None else frame[0, 0, 2] for frame in taken] == [1, 2, 3, None]
    assert frames.dropped == 0


def test_live_objects_come_from_boxes_and_are_segmented(camera: ModuleType) -> None:
    image = np.random.default_rng(0).integers(0, 40, (96, 128, 3), dtype=np.uint8)
    cv2.circle(image, (40, 50), 18, (220, 30, 30), -1)
    model = build_model("scmn_small", weights="default")
    objects = camera.LiveObjects(VideoSegmenter(model, device="cpu"))
    assert np.array_equal(objects.step(image), image), "no object yet"
    first = objects.add(image, (18, 28, 45, 45))
    again = objects.step(image)
    disk = image[..., 0] == 220
    assert (first != image).any(axis=2)[disk].mean() > 0.9
    assert (again != image).any(axis=2)[disk].mean() > 0.9
    assert (again != image).any(axis=2)[~disk].mean() < 0.05
    with pytest.raises(InputError, match="not inside the frame"):
        objects.add(image, (100, 60, 80, 80))
    assert objects.segmenter.object_ids == (1,)


def test_camera_reports_a_source_that_does_not_open() -> None:
    ended = run_here("examples/camera.py", "--source", "none.mp4")
    assert ended.returncode == 2
    assert "error: cannot open camera or video 'none.mp4'" in ended.stderr
