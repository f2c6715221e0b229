"""The objects of a scene: labelled ones, look-alikes, distractors and occluders, not yet placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scmn.data.synthetic.colours import Palette
from scmn.data.synthetic.motion import Bending, draw_bending
from scmn.data.synthetic.objects import Sheet, paint_sheet
from scmn.data.synthetic.shapes import (
    OUTLINES,
    RIGID,
    Silhouette,
    draw_silhouette,
    vary_silhouette,
)
from scmn.data.synthetic.synthetic_settings import SyntheticSettings
from scmn.data.synthetic.textures import Surface, draw_surface

Streams = Callable[..., np.random.Generator]
"""``streams(part, index=0)`` returns the random numbers for one named part of a sequence."""

_SHEET_MARGIN = 1.15  # sheets are painted larger than first shown, as objects may grow
_MAX_RADIUS = 0.62
_OCCLUDER_OUTLINES = ("blob", "crescent", "sprawler", "flower")


@dataclass(frozen=True)
class Part:
    """The part that one object plays in a sequence."""

    object_id: int = 0
    """0: a distractor or an occluder."""
    occluder: bool = False
    look_alike_of: int | None = None
    """Index in the cast of the object that it looks like."""
    late: bool = False
    """It appears after frame 0."""
    leaves: bool = False
    """It leaves the frame and returns."""


@dataclass(frozen=True)
class Family:
    """What look-alikes share."""

    outline: str
    silhouette: Silhouette
    surface: Surface
    radius: float
    gloss: float


@dataclass(frozen=True)
class Member:
    """One object of the cast, painted; the fields are those of ``MovingObject``."""

    part: Part
    family: Family
    radius: float
    sheet: Sheet
    bending: Bending


def draw_cast(
    settings: SyntheticSettings, streams: Streams, palette: Palette, unit: float
) -> list[Member]:
    """Draw and paint every object; ``unit`` is the number of pixels per unit of length."""
    parts = _draw_parts(settings, streams("parts"))
    crowd = sum(not part.occluder for part in parts)
    members: list[Member] = []
    for index, part in enumerate(parts):
        if part.look_alike_of is None:
            rng = streams("family", index)
            radius_scale = max(1.0, crowd / 3) ** 0.35
            family = _draw_family(settings, rng, palette, part, index, radius_scale)
        else:
            family = members[part.look_alike_of].family
        members.append(_paint_member(settings, streams("member", index), family, part, unit))
    return members


def _draw_parts(settings: SyntheticSettings, rng: np.random.Generator) -> list[Part]:
    """Draw the list of parts; late objects come last, so that ids follow the first appearance."""
    objects, distractors, occluders = (
        int(rng.integers(low, high + 1))
        for low, high in (settings.objects, settings.distractors, settings.occluders)
    )
    late = sorted([False, *(rng.random(objects - 1) < settings.late_objects)])
    leaves = rng.random(objects) < settings.out_of_view
    parts = []
    for index in range(objects + distractors):
        alike = index > 0 and rng.random() < settings.look_alikes
        look_alike_of = int(rng.integers(0, min(index, objects))) if alike else None
        if index < objects:
            is_late = bool(late[index])
            is_leaving = bool(leaves[index]) and not is_late
            parts.append(Part(index + 1, False, look_alike_of, is_late, is_leaving))
        else:
            parts.append(Part(look_alike_of=look_alike_of))
    return parts + [Part(occluder=True)] * occluders


def _draw_family(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    palette: Palette,
    part: Part,
    index: int,
    radius_scale: float,
) -> Family:
    outline = str(rng.choice(_OCCLUDER_OUTLINES if part.occluder else list(OUTLINES)))
    silhouette = draw_silhouette(rng, outline)
    low, high = (0.22, 0.4) if part.occluder else (0.16, 0.46)
    radius = float(np.exp(rng.uniform(np.log(low), np.log(high)))) / radius_scale
    if part.object_id:
        # 16/9 is the area of a frame in square units; half as much again, as others may occlude it.
        filled = float((silhouette.mask > 0).mean())
        needed = 1.5 * settings.minimum_area * (16 / 9) / (4 * filled)
        radius = min(max(radius, float(np.sqrt(needed))), _MAX_RADIUS)
    camouflaged = rng.random() < settings.camouflage
    ramps = palette.camouflage_ramps(rng) if camouflaged else palette.object_ramps(rng, index)
    surface = draw_surface(rng, ramps)
    return Family(outline, silhouette, surface, radius, float(rng.choice([0.0, 40.0, 90.0])))


def _paint_member(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    family: Family,
    part: Part,
    unit: float,
) -> Member:
    rigid = family.outline in RIGID
    silhouette = family.silhouette
    if part.look_alike_of is not None:
        silhouette = vary_silhouette(silhouette, rng, strength=0.01 if rigid else 0.04)
    radius = family.radius * float(np.exp(rng.normal(0, 0.06)))
    size = max(16, round(2 * radius * unit * _SHEET_MARGIN))
    liveliness = 0.0 if rigid else settings.deformation * rng.uniform(0.4, 1.0)
    colours = family.surface.draw(rng, (size, size))
    sheet = paint_sheet(colours, silhouette, wheels=family.outline == "car")
    return Member(part, family, radius, sheet, draw_bending(rng, strength=liveliness))
