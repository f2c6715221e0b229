"""The page in a real browser: what the user does with the mouse, and what comes of it."""

from __future__ import annotations

import io
import json
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import cv2
import numpy as np
import pytest
from PIL import Image

from scmn import VideoFile, VideoSegmenter, build_model
from scmn.data.masks import read_label_map, write_label_map
from tests.demo.browsing import PATIENCE, RunningServer, Tab, running_browser, running_server
from tests.demo.projects import SETTINGS, sequence, write_video

LARGER = replace(SETTINGS, size=(192, 336))
LAST = SETTINGS.frames - 1


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, "--keep", "1", "--max-upload", "1") as server:
        yield server
        assert server.stop() == 0
        assert list(server.temporary.iterdir()) == []


@pytest.fixture
def open_tab(browser: Any, server: RunningServer) -> Iterator[Callable[[], Tab]]:
    tabs: list[Tab] = []

    def open_tab() -> Tab:
        tabs.append(Tab(browser, server.url))
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.page.context.close()
        assert tab.errors == []


@pytest.fixture
def open_clip(open_tab: Callable[[], Tab], clip: Path) -> Callable[[], Tab]:
    """Opens a tab and the clip in it."""

    def open_clip() -> Tab:
        tab = open_tab()
        tab.upload(clip)
        tab.wait_for_frame(0, LAST)
        return tab

    return open_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", LARGER)


def read_masks(path: Path) -> dict[int, np.ndarray]:
    folder = path.with_suffix("")
    with zipfile.ZipFile(path) as file:
        file.extractall(folder)
    return {int(png.stem): read_label_map(png) for png in folder.glob("*.png")}


def paint(tab: Tab, index: int, object_id: int) -> None:
    """Paint an object row by row, as far inside as the brush is wide."""
    mask = sequence(LARGER).annotation(index) == object_id
    inside = cv2.erode(mask.astype(np.uint8), np.ones((15, 15), np.uint8))
    path: list[tuple[float, float]] = []
    for row in range(0, LARGER.size[0], 12):
        columns = np.flatnonzero(inside[row])
        if columns.size:
            ends = [(columns[0], row), (columns[-1], row)]
            path += ends if len(path) % 4 == 0 else ends[::-1]
    height, width = LARGER.size
    tab.drag([((x + 0.5) / width, (y + 0.5) / height) for x, y in path])


def segmenter() -> VideoSegmenter:
    return VideoSegmenter(build_model("scmn_small", weights="default"), size=480)


def test_draw_segment_correct_and_download(
    open_clip: Callable[[], Tab], clip: Path, tmp_path: Path
) -> None:
    tab = open_clip()
    paint(tab, 0, 1)
    tab.click("Segment")
    tab.wait_for_run(8)
    first = read_masks(tab.download("Masks", tmp_path))
    images = [frame.image for frame in VideoFile(clip).frames()]
    drawn = first[0] == 1
    truth = sequence(LARGER).annotation(0) == 1
    assert (drawn & truth).sum() > 0.9 * drawn.sum() > 300
    for index, prediction in enumerate(segmenter().run(images, first[0])):
        np.testing.assert_array_equal(first[index], prediction.labels)

    # A click in the timeline's middle leads to frame 4: correct it, and run on from there.
    chart = tab.page.locator(".nicegui-echart")
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] * 0.55, "y": box["height"] * 0.5})
    tab.wait_for_frame(4, LAST)
    tab.click("Add")
    tab.page.get_by_label("name of object 2").wait_for()
    paint(tab, 4, 2)
    tab.click("Segment")
    tab.wait_for_run(4)
    (tmp_path / "corrected").mkdir()
    second = read_masks(tab.download("Masks", tmp_path / "corrected"))
    for index in range(4):
        np.testing.assert_array_equal(second[index], first[index])
    assert (second[4] == 2).sum() > 300
    corrected = segmenter()
    corrected.step(images[0], first[0])
    for index in range(4, 8):
        given = second[4] if index == 4 else None
        prediction = corrected.step(images[index], given)
        np.testing.assert_array_equal(second[index], prediction.labels)
    if "SCMN_DEMO_PICTURE" in os.environ:
        tab.page.mouse.move(0, 0)
        tab.page.locator(".q-tooltip").wait_for(state="detached")
        picture = Image.open(io.BytesIO(tab.page.screenshot()))
        picture.quantize(128).save(os.environ["SCMN_DEMO_PICTURE"], optimize=True)


def test_every_tool_draws_and_undo_takes_it_back(
    open_clip: Callable[[], Tab], tmp_path: Path
) -> None:
    tab = open_clip()
    empty = tab.image()
    tab.click("polygon")
    for corner in ((0.1, 0.1), (0.3, 0.1), (0.3, 0.4), (0.1, 0.4), (0.1, 0.1)):
        tab.page.mouse.click(*tab.position(*corner))
    tab.wait_for_other_image(empty)
    tab.click("eraser")
    tab.drag([(0.2, 0.25), (0.25, 0.25)])
    tab.click("Add")
    tab.page.get_by_label("name of object 2").wait_for()
    tab.click("box")
    rows, columns = np.nonzero(sequence(LARGER).annotation(0) == 2)
    height, width = LARGER.size
    left, right = columns.min() / width - 0.02, columns.max() / width + 0.02
    tab.drag([(left, rows.min() / height - 0.02), (right, rows.max() / height + 0.02)])
    labels = read_masks(tab.download("Masks", tmp_path))[0]
    inside = labels[int(0.12 * height) : int(0.38 * height), int(0.12 * width) : int(0.28 * width)]
    assert (inside == 1).mean() > 0.7
    assert labels[int(0.25 * height), int(0.22 * width)] == 0
    truth = sequence(LARGER).annotation(0) == 2
    assert ((labels == 2) & truth).sum() / ((labels == 2) | truth).sum() > 0.6
    for _ in range(4):  # box, object 2, eraser, polygon
        tab.click("undo")
    tab.page.wait_for_function(
        "empty => document.querySelector('.canvas img').src === empty", arg=empty
    )


def test_two_sessions_at_once_give_what_each_gives_alone(
    open_clip: Callable[[], Tab], clip: Path, tmp_path: Path
) -> None:
    tabs = [open_clip(), open_clip()]
    for object_id, tab in enumerate(tabs, start=1):
        paint(tab, 0, object_id)
    for tab in tabs:
        tab.click("Segment")
    images = [frame.image for frame in VideoFile(clip).frames()]
    for number, tab in enumerate(tabs):
        tab.wait_for_run(8)
        (tmp_path / str(number)).mkdir()
        masks = read_masks(tab.download("Masks", tmp_path / str(number)))
        for index, prediction in enumerate(segmenter().run(images, masks[0])):
            np.testing.assert_array_equal(masks[index], prediction.labels)


def test_what_cannot_be_used_is_told_and_leaves_nothing(
    open_tab: Callable[[], Tab], server: RunningServer, clip: Path, tmp_path: Path
) -> None:
    tab = open_tab()
    large, text = tmp_path / "large.mp4", tmp_path / "text.mp4"
    many, enough = tmp_path / "30.png", tmp_path / "20.png"
    with large.open("wb") as file:
        file.truncate(200 * 2**20)
    text.write_text("not a video")
    labels = np.zeros(LARGER.size, np.uint8)
    labels[:20] = np.arange(1, 21)[:, None]
    write_label_map(enough, labels)
    labels[20:30] = np.arange(21, 31)[:, None]
    write_label_map(many, labels)
    tab.upload(large)
    tab.wait_for_message("too large: an upload may have 1 MB")
    # A browser that does not look at the size itself; what it sends is not waited for.
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", str(200 * 2**20))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    tab.upload(text)
    tab.wait_for_message("'text.mp4' is neither a video")
    tab.upload(clip)
    tab.wait_for_frame(0, LAST)
    tab.click("Segment")
    tab.wait_for_message("frame 0 has no mask: draw one there first")
    tab.upload(many, to="mask")
    tab.wait_for_message("30 objects: at most 20 are accepted")
    tab.upload(enough, to="mask")
    tab.page.get_by_label("name of object 20", exact=True).wait_for()
    tab.click("Add")
    tab.wait_for_message("21 objects: at most 20 are accepted")
    (folder,) = server.session_folders()
    assert [path.name for path in folder.iterdir()] == ["footage-2"]


def test_killed_tab_ends_its_run_and_leaves_nothing(
    open_clip: Callable[[], Tab], server: RunningServer
) -> None:
    tab = open_clip()
    paint(tab, 0, 1)
    tab.click("Segment")
    tab.page.get_by_text(" of 8 frames").wait_for()
    tab.page.close()
    until = time.monotonic() + PATIENCE / 1000
    while server.session_folders() and time.monotonic() < until:
        time.sleep(0.2)
    assert server.session_folders() == []


def test_reloaded_cancelled_and_backward_runs_keep_names(
    open_tab: Callable[[], Tab], tmp_path: Path
) -> None:
    tab = open_tab()
    tab.click("Sample")
    tab.wait_for_frame(0, 39)
    tab.drag([(0.3, 0.6), (0.4, 0.6)])
    name = tab.page.get_by_label("name of object 1")
    name.fill('a "fast" car')
    name.press("Enter")
    tab.page.get_by_label('name of a "fast" car').wait_for()
    tab.click("Segment")
    following = re.compile(r"of 40 frames, [\d.]+ frames/s, \d+ s left")
    tab.page.get_by_text(following).wait_for()
    tab.page.reload()
    tab.page.get_by_label('name of a "fast" car').wait_for()
    tab.page.get_by_text(following).wait_for()
    tab.click("Cancel")
    tab.page.get_by_role("button", name="Cancel", exact=True).wait_for(state="hidden")
    done = read_masks(tab.download("Masks", tmp_path))
    assert 0 < len(done) < 40
    last = max(done)
    tab.wait_for_frame(last, 39)
    tab.click("Backward")
    tab.wait_for_run(last + 1)
    content = json.loads(tab.download("COCO", tmp_path).read_text())
    assert content["categories"] == [{"id": 1, "name": 'a "fast" car'}]


def test_password_is_asked_for_elsewhere(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCMN_DEMO_PASSWORD", "a word")
    (tmp_path / "images").mkdir()
    images = [tmp_path / "images" / f"frame{index}.png" for index in (8, 9, 10)]
    for index, path in enumerate(images):
        Image.fromarray(sequence(LARGER).image(index)).save(path)
    (tmp_path / "server").mkdir()
    with running_server(tmp_path / "server", "--host", "0.0.0.0") as server:
        tab = Tab(browser, server.url)
        for password in ("a guess", "a word"):
            tab.page.get_by_label("Password").fill(password)
            tab.page.get_by_role("button").click()
        tab.upload(images)
        tab.wait_for_frame(0, 2)
        with urlopen(server.url) as answer:  # to a stranger
            assert answer.url == f"{server.url}/login"
        tab.page.context.close()
