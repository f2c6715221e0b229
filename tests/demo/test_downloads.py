from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn import InputError, VideoFile, VideoSegmenter, build_model, overlay
from scmn.data.masks import read_label_map
from scmn.demo.downloads import DOWNLOADS, write_download
from scmn.demo.footage import Limits
from scmn.demo.project import Project
from scmn.demo.segmentation import Networks, Settings
from scmn.demo.session import Server, Session
from tests.demo.projects import make_project, square


@pytest.fixture
def session(tmp_path: Path) -> Session:
    session = Session(Server(tmp_path, Networks(), "cpu", Limits()))
    session.project = make_project(session.folder)
    return session


@pytest.fixture
def project(session: Session) -> Project:
    """The session's project, with an object on two of its frames."""
    assert session.project is not None
    session.project.change_object(1, name="fish", colour="#ff00ff")
    session.project.draw(1, 1, square(session.project, 10, 10, 40))
    session.project.draw(6, 1, square(session.project, 30, 50))
    return session.project


def test_masks_are_palette_pngs(session: Session, project: Project, tmp_path: Path) -> None:
    path, name = write_download(session, "Masks")
    assert name == "clip-masks.zip"
    with zipfile.ZipFile(path) as file:
        assert file.namelist() == ["00001.png", "00006.png"]
        file.extractall(tmp_path)
    for index in (1, 6):
        labels = read_label_map(tmp_path / f"{index:05d}.png")
        np.testing.assert_array_equal(labels, project.labels(index))


def test_overlay_shows_the_objects_colour(session: Session, project: Project) -> None:
    path, name = write_download(session, "Overlay")
    assert name == "clip-overlay.mp4"
    frames = list(VideoFile(path).frames())
    assert len(frames) == 8
    image, labels = project.footage.image(1), project.labels(1)
    expected = overlay(image, labels, palette=project.palette)
    difference = np.abs(np.subtract(frames[1].image, expected, dtype=int))[labels == 1].mean()
    assert difference < 10
    assert np.abs(np.subtract(expected, image, dtype=int))[labels == 1].mean() > 40


def test_cutouts_are_transparent_outside(
    session: Session, project: Project, tmp_path: Path
) -> None:
    path, _ = write_download(session, "Cut-outs")
    with zipfile.ZipFile(path) as file:
        assert file.namelist() == ["1/00001.png", "1/00006.png"]
        file.extractall(tmp_path)
    cutout = np.asarray(Image.open(tmp_path / "1" / "00006.png"))
    inside = project.labels(6) == 1
    np.testing.assert_array_equal(cutout[..., 3] == 255, inside)
    np.testing.assert_array_equal(cutout[inside, :3], project.footage.image(6)[inside])


def test_coco_has_the_names(session: Session, project: Project) -> None:
    mask_tools = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    path, _ = write_download(session, "COCO")
    content = json.loads(path.read_text())
    assert content["categories"] == [{"id": 1, "name": "fish"}]
    decoded = [mask_tools.decode(entry["segmentation"]) for entry in content["annotations"]]
    np.testing.assert_array_equal(decoded[0], project.labels(1))
    np.testing.assert_array_equal(decoded[1], project.labels(6))


def test_memory_continues_the_video(session: Session, project: Project, tmp_path: Path) -> None:
    session.segment(Settings(), start=1, direction="forward").wait()
    path, name = write_download(session, "Memory")
    assert name == "clip-memory.safetensors"
    model = build_model("scmn_small", weights="default")
    expected = VideoSegmenter(model, size=480)
    for index in range(1, 8):
        given = project.labels(index) if index in (1, 6) else None
        expected.step(project.footage.image(index), given)
    loaded = VideoSegmenter(model, size=480)
    loaded.load_memory(path)
    image = project.footage.image(0)
    np.testing.assert_array_equal(loaded.step(image).labels, expected.step(image).labels)


@pytest.mark.parametrize("kind", DOWNLOADS)
def test_nothing_to_download_is_told(session: Session, kind: str) -> None:
    with pytest.raises(InputError, match="no masks yet"):
        write_download(session, kind)


def test_memory_needs_a_run(session: Session, project: Project) -> None:
    with pytest.raises(InputError, match="segment the video first"):
        write_download(session, "Memory")


def test_a_download_leaves_the_one_before(session: Session, project: Project) -> None:
    paths = [write_download(session, kind)[0] for kind in ("Masks", "COCO", "Masks")]
    assert len(set(paths)) == 3
    assert all(path.is_file() for path in paths)
