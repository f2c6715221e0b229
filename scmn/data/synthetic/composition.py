"""Composes scenes: background, light and camera, and objects placed so that all are visible."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from scmn.data.synthetic.backgrounds import draw_background
from scmn.data.synthetic.cast import Member, Streams, draw_cast
from scmn.data.synthetic.colours import draw_palette
from scmn.data.synthetic.motion import draw_camera, draw_wander
from scmn.data.synthetic.objects import Light
from scmn.data.synthetic.placement import place_cast
from scmn.data.synthetic.scene import LIGHT_GRID, Scene, unit_length
from scmn.data.synthetic.synthetic_settings import SyntheticSettings
from scmn.data.synthetic.textures import noise
from scmn.errors import InputError

_CASTS = 5
_PLACEMENTS = 60  # per cast
_CHECKED_HEIGHT = 120  # pixels: visible areas are measured on small label maps
_CHECK_MARGIN = 1.15  # small label maps measure areas only roughly
_LATE_CHECKS = 6
_PAN_REACH = np.array([0.32, 0.14])
_BACKGROUND_MARGIN = 1.12  # for zoom, roll and shake


def random_stream(seed: int, number: int, part: str, index: int = 0) -> np.random.Generator:
    """Return the random numbers for one part of a sequence, independent of those for the others."""
    return np.random.default_rng([seed, number, zlib.crc32(part.encode()), index])


def compose(settings: SyntheticSettings, streams: Streams) -> Scene:
    """Draw a scene from the random numbers that ``streams(part, index)`` returns.

    Raises:
        InputError: no placement shows every object with the minimum area.
    """
    palette = draw_palette(streams("palette"))
    unit = unit_length(settings.size)
    half_frame = np.array([settings.size[1], settings.size[0]]) / (2 * unit)
    pan = _PAN_REACH * (settings.camera_motion > 0)
    canvas = 2 * (half_frame + pan) * _BACKGROUND_MARGIN * unit
    canvas_size = (round(canvas[1]), round(canvas[0]))
    light = _draw_light(streams("light"))
    rng = streams("light change")
    brightness = tuple(settings.illumination * size for size in (0.14, 0.04, 0.4))
    empty = Scene(
        settings=settings,
        background=draw_background(streams("background"), canvas_size, palette),
        objects=(),
        camera=draw_camera(streams("camera"), strength=settings.camera_motion, reach=_PAN_REACH),
        light=light,
        brightness=draw_wander(rng, brightness, periods=(16.0, 80.0)),
        light_field=_draw_light_field(rng, light),
    )
    for number in range(_CASTS):
        # Some casts fit nowhere, such as a large occluder in front of a small object.
        own_streams = partial(_recast, streams, number) if number else streams
        cast = draw_cast(settings, own_streams, palette, unit)
        for attempt in range(_PLACEMENTS):
            objects = place_cast(settings, own_streams("layout", attempt), cast, half_frame)
            scene = dataclasses.replace(empty, objects=objects)
            if _all_visible(scene, cast):
                return scene
    object_count = sum(member.part.object_id > 0 for member in cast)
    raise InputError(
        f"{object_count} synthetic objects of at least {settings.minimum_area:.2%} of the frame "
        "each do not fit; expected fewer objects or distractors, or a smaller minimum_area"
    )


def _recast(streams: Streams, number: int, part: str, index: int = 0) -> np.random.Generator:
    return streams(f"{part}, recast {number}", index)


def _draw_light(rng: np.random.Generator) -> Light:
    """Draw a light source, usually above the scene."""
    angle = rng.uniform(-0.85 * np.pi, -0.15 * np.pi)
    length = rng.uniform(0.55, 1.0)
    return Light(
        direction=length * np.array([np.cos(angle), np.sin(angle)]),
        contrast=float(rng.uniform(0.3, 0.6)),
        shadow=float(rng.uniform(0.25, 0.55)),
    )


def _draw_light_field(rng: np.random.Generator, light: Light) -> np.ndarray:
    """Draw the fall-off of the light, and the large soft shadows of clouds or branches."""
    clouds = noise(rng, LIGHT_GRID, cells=1.6, octaves=3, gain=0.5)
    depth = rng.choice([0.0, 0.04, 0.09])
    y = np.linspace(-1, 1, LIGHT_GRID[0], dtype=np.float32)[:, None]
    fall_off = 0.93 + 0.07 * y * np.sign(light.direction[1])
    field = fall_off * (1 + np.float32(depth) * np.clip(clouds, -2.0, 0.5))
    return np.clip(cv2.GaussianBlur(field.astype(np.float32), (0, 0), 0.8), 0, 1)


def _all_visible(scene: Scene, cast: Sequence[Member]) -> bool:
    """Whether each object is large enough in frame 0 or, if it is late, only in a later one."""
    height, width = scene.settings.size
    scale = min(1.0, _CHECKED_HEIGHT / height)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    needed = max(scene.settings.minimum_area * _CHECK_MARGIN * size[0] * size[1], 1)
    parts = [member.part for member in cast if member.part.object_id]
    late = [part.object_id for part in parts if part.late]
    prompt = [part.object_id for part in parts if not part.late]

    def areas(time: float) -> np.ndarray:
        return np.bincount(scene.labels(time, size).ravel(), minlength=256)

    first = areas(0)
    if (first[prompt] < needed).any() or first[late].any():
        return False
    if not late:
        return True
    times = np.linspace(0, scene.settings.frames - 1, _LATE_CHECKS).round()
    later = np.stack([areas(time) for time in times])
    return bool((later[:, late].max(axis=0) >= needed).all())
