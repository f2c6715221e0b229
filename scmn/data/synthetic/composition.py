"""Composes scenes: draws cast, surroundings and light, and places the cast so that it is seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from scmn.data.synthetic.backgrounds import draw_background
from scmn.data.synthetic.cast import Member, Streams, draw_cast
from scmn.data.synthetic.colours import Palette, draw_palette
from scmn.data.synthetic.layout import draw_paths
from scmn.data.synthetic.motion import draw_camera, draw_wander
from scmn.data.synthetic.scene import LIGHT_GRID, Scene, unit_length
from scmn.data.synthetic.settings import SyntheticSettings
from scmn.data.synthetic.textures import noise
from scmn.data.synthetic.things import Light, Thing
from scmn.errors import InputError

_CASTINGS = 5
_LAYOUTS = 60  # of one cast
_CHECKED_HEIGHT = 120  # pixels: visible areas are measured on small label maps
_CHECK_MARGIN = 1.15  # a measured area may be off by the coarseness of the map
_LATE_CHECKS = 6
_PAN_REACH = np.array([0.32, 0.14])
_BACKGROUND_MARGIN = 1.12  # for zoom, roll and shake


@dataclass(frozen=True)
class Composition:
    """A scene with its cast list."""

    scene: Scene
    cast: tuple[Member, ...]


def compose(settings: SyntheticSettings, streams: Streams) -> Composition:
    """Draw a scene; InputError if no layout shows all objects as large as was asked for."""
    unit = unit_length(settings.size)
    half = np.array([settings.size[1], settings.size[0]]) / (2 * unit)
    palette = draw_palette(streams("palette"))
    empty = _draw_stage(settings, streams, palette, unit, half)
    for casting in range(_CASTINGS):
        # Some casts fit nowhere: a large occluder before a small object, say.
        again = partial(_recast, streams, casting) if casting else streams
        cast = tuple(draw_cast(settings, again, palette, unit))
        scene = _lay_out(empty, cast, again, half)
        if scene is not None:
            return Composition(scene, cast)
    objects = sum(member.role == "object" for member in cast)
    raise InputError(
        f"{objects} synthetic objects with at least {settings.minimum_area:.2%} of the frame each "
        "do not fit; expected fewer objects or distractors, or a smaller minimum_area"
    )


def _recast(streams: Streams, casting: int, part: str, place: int = 0) -> np.random.Generator:
    return streams(f"{part}, recast {casting}", place)


def _lay_out(
    empty: Scene, cast: tuple[Member, ...], streams: Streams, half: np.ndarray
) -> Scene | None:
    """Place the cast so that every object is seen; None if that is not found."""
    for attempt in range(_LAYOUTS):
        rng = streams("layout", attempt)
        scene = dataclasses.replace(empty, things=_place(empty.settings, rng, cast, half))
        if _all_seen(scene, cast):
            return scene
    return None


def _draw_stage(
    settings: SyntheticSettings, streams: Streams, palette: Palette, unit: float, half: np.ndarray
) -> Scene:
    """Draw everything but the cast."""
    pan = _PAN_REACH * (settings.camera_motion > 0)
    canvas = 2 * (half + pan) * _BACKGROUND_MARGIN * unit
    light = _draw_light(streams("light"))
    rng = streams("light change")
    change = settings.illumination
    return Scene(
        settings=settings,
        background=draw_background(
            streams("background"), (round(canvas[1]), round(canvas[0])), palette
        ),
        things=(),
        camera=draw_camera(streams("camera"), strength=settings.camera_motion, reach=_PAN_REACH),
        light=light,
        brightness=draw_wander(
            rng, (0.14 * change, 0.04 * change, 0.4 * change), periods=(16.0, 80.0)
        ),
        light_field=_draw_light_field(rng, light),
    )


def _draw_light(rng: np.random.Generator) -> Light:
    """Draw a lamp, mostly from above."""
    angle = rng.uniform(-0.85 * np.pi, -0.15 * np.pi)
    steepness = rng.uniform(0.55, 1.0)
    return Light(
        direction=steepness * np.array([np.cos(angle), np.sin(angle)]),
        contrast=float(rng.uniform(0.3, 0.6)),
        shadow=float(rng.uniform(0.25, 0.55)),
    )


def _draw_light_field(rng: np.random.Generator, light: Light) -> np.ndarray:
    """Draw the light's fall-off, and clouds or branches that throw large soft shadows."""
    clouds = noise(rng, LIGHT_GRID, cells=1.6, octaves=3, gain=0.5)
    depth = rng.choice([0.0, 0.04, 0.09])
    y = np.linspace(-1, 1, LIGHT_GRID[0], dtype=np.float32)[:, None]
    fall_off = 0.93 + 0.07 * y * np.sign(light.direction[1])
    field = fall_off * (1 + np.float32(depth) * np.clip(clouds, -2.0, 0.5))
    return np.clip(cv2.GaussianBlur(field.astype(np.float32), (0, 0), 0.8), 0, 1)


def _place(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    cast: Sequence[Member],
    half: np.ndarray,
) -> tuple[Thing, ...]:
    """Give every member a path and a depth: occluders in front, the rest in any order."""
    paths = draw_paths(settings, rng, cast, half)
    depths = rng.random(len(cast)) + [member.role == "occluder" for member in cast]
    things = []
    for place in np.argsort(depths):
        member = cast[int(place)]
        front = member.role == "occluder"
        things.append(
            Thing(
                object_id=member.object_id,
                radius=member.radius,
                sheet=member.sheet,
                normals=member.normals,
                extent=member.extent,
                path=paths[int(place)],
                bending=member.bending,
                gloss=member.family.gloss,
                height=float(rng.uniform(0.05, 0.09) if front else rng.uniform(0.015, 0.045)),
                softness=float(rng.choice([0.0, 0.008]) if front else 0.0),
            )
        )
    return tuple(things)


def _all_seen(scene: Scene, cast: Sequence[Member]) -> bool:
    """Whether every object is large enough in frame 0 and the late ones, instead, later."""
    height, width = scene.settings.size
    scale = min(1.0, _CHECKED_HEIGHT / height)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    needed = scene.settings.minimum_area * _CHECK_MARGIN * size[0] * size[1]
    last = scene.settings.frames - 1
    late = [member.object_id for member in cast if member.late]
    first = np.bincount(scene.labels(0, size).ravel(), minlength=256)
    prompt = [m.object_id for m in cast if m.role == "object" and not m.late]
    if any(first[k] < max(needed, 1) for k in prompt) or any(first[k] for k in late):
        return False
    if not late:
        return True
    times = np.linspace(0, last, _LATE_CHECKS).round()
    later = np.stack([np.bincount(scene.labels(t, size).ravel(), minlength=256) for t in times])
    return all(later[:, k].max() >= max(needed, 1) for k in late)
