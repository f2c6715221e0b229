"""Small projects for the tests of the page."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np

from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.data.video_writer import VideoWriter
from scmn.demo.footage import Limits, Upload, import_footage
from scmn.demo.project import Project

SETTINGS = SyntheticSettings(
    size=(96, 160), frames=8, objects=(2, 2), out_of_view=0, camouflage=0, minimum_area=0.03
)


def sequence(settings: SyntheticSettings = SETTINGS) -> SyntheticSequence:
    return SyntheticSequence(settings, seed=0, number=0)


def write_video(path: Path, settings: SyntheticSettings = SETTINGS) -> Path:
    """Write a clip of two objects."""
    drawn = sequence(settings)
    with VideoWriter(path, frame_rate=24) as writer:
        for index in range(len(drawn)):
            writer.write(drawn.image(index))
    return path


def make_project(folder: Path, *, objects: int = 20) -> Project:
    """Return a project of the clip, without masks."""
    video = Upload(write_video(folder / "clip"), "clip.mp4")
    limits = Limits(objects=objects)
    return Project(import_footage([video], folder / "frames", limits), limits)


def square(project: Project, top: int, left: int, side: int = 20) -> np.ndarray:
    """Return a square as marked pixels."""
    marked = np.zeros(project.footage.size, bool)
    marked[top : top + side, left : left + side] = True
    return marked


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
