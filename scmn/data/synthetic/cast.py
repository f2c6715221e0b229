"""Who is in a scene: objects, look-alikes, distractors and occluders, painted but not placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scmn.data.synthetic.colours import Palette
from scmn.data.synthetic.motion import Bending, draw_bending
from scmn.data.synthetic.settings import SyntheticSettings
from scmn.data.synthetic.shapes import (
    OUTLINES,
    RIGID,
    UPRIGHT,
    Silhouette,
    draw_silhouette,
    make_form,
    vary_silhouette,
)
from scmn.data.synthetic.textures import Surface, draw_surface
from scmn.data.synthetic.things import paint_sheet, silhouette_extent

Streams = Callable[..., np.random.Generator]
"""Gives the random numbers of one named part of one sequence."""

_GROWTH_ROOM = 1.15  # sheets are painted larger than they are first seen: things may grow
_LARGEST_RADIUS = 0.62


@dataclass(frozen=True)
class Family:
    """What look-alikes share."""

    outline: str
    silhouette: Silhouette
    surface: Surface
    radius: float
    gloss: float
    camouflaged: bool


@dataclass(frozen=True)
class Member:
    """One thing of the cast, before it is given a path."""

    object_id: int
    role: str
    """object, distractor or occluder."""
    family: Family
    look_alike_of: int | None
    """Place in the cast of the object that it looks like."""
    radius: float
    sheet: np.ndarray
    normals: np.ndarray
    extent: np.ndarray
    bending: Bending
    late: bool
    leaves: bool


@dataclass(frozen=True)
class _Part:
    """A line of the cast list."""

    role: str
    object_id: int
    look_alike_of: int | None
    late: bool
    leaves: bool


def draw_cast(
    settings: SyntheticSettings, streams: Streams, palette: Palette, unit: float
) -> list[Member]:
    """Draw and paint everything that moves; ``unit`` is the number of pixels per unit."""
    parts = _draw_parts(settings, streams("parts"))
    crowd = len([part for part in parts if part.role != "occluder"])
    families: list[Family] = []
    members = []
    for place, part in enumerate(parts):
        if part.look_alike_of is None:
            family = _draw_family(settings, streams("family", place), palette, part, place, crowd)
        else:
            family = families[part.look_alike_of]
        families.append(family)
        members.append(_paint_member(settings, streams("member", place), family, part, unit))
    return members


def _draw_parts(settings: SyntheticSettings, rng: np.random.Generator) -> list[_Part]:
    """Draw the cast list; objects that enter late come last, so that ids follow appearance."""
    objects, distractors, occluders = (
        int(rng.integers(low, high + 1))
        for low, high in (settings.objects, settings.distractors, settings.occluders)
    )
    late = sorted([False, *(rng.random(objects - 1) < settings.late_objects)])
    leaves = rng.random(objects) < settings.out_of_view
    parts = []
    for place in range(objects + distractors):
        is_object = place < objects
        twin = place > 0 and rng.random() < settings.look_alikes
        # A look-alike of a look-alike is one of the first as well.
        original = int(rng.integers(0, min(place, objects))) if twin else None
        parts.append(
            _Part(
                role="object" if is_object else "distractor",
                object_id=place + 1 if is_object else 0,
                look_alike_of=original,
                late=bool(is_object and late[place]),
                leaves=bool(is_object and leaves[place] and not late[place]),
            )
        )
    return parts + [_Part("occluder", 0, None, late=False, leaves=False)] * occluders


def _draw_family(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    palette: Palette,
    part: _Part,
    place: int,
    crowd: int,
) -> Family:
    occluder = part.role == "occluder"
    outlines = ["blob", "crescent", "sprawler", "flower"] if occluder else list(OUTLINES)
    outline = str(rng.choice(outlines))
    silhouette = draw_silhouette(rng, outline)
    sizes = (0.22, 0.4) if occluder else (0.16, 0.46)
    radius = float(np.exp(rng.uniform(*np.log(sizes)))) / max(1.0, crowd / 3) ** 0.35
    # 16/9: the frame's area in square units. Half as much again, as others may cover some of it.
    needed = 1.5 * settings.minimum_area * (16 / 9) / (4 * float((silhouette.mask > 0).mean()))
    if part.role == "object":
        radius = min(max(radius, float(np.sqrt(needed))), _LARGEST_RADIUS)
    camouflaged = bool(rng.random() < settings.camouflage)
    ramps = palette.camouflaged(rng) if camouflaged else palette.thing(rng, place)
    return Family(
        outline=outline,
        silhouette=silhouette,
        surface=draw_surface(rng, ramps),
        radius=radius,
        gloss=float(rng.choice([0.0, 40.0, 90.0])),
        camouflaged=camouflaged,
    )


def _paint_member(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    family: Family,
    part: _Part,
    unit: float,
) -> Member:
    rigid = family.outline in RIGID
    silhouette = family.silhouette
    if part.look_alike_of is not None:
        silhouette = vary_silhouette(silhouette, rng, strength=0.01 if rigid else 0.04)
    radius = family.radius * float(np.exp(rng.normal(0, 0.06)))
    size = max(16, round(2 * radius * unit * _GROWTH_ROOM))
    form = make_form(silhouette, size)
    liveliness = 0.0 if rigid else settings.deformation * rng.uniform(0.4, 1.0)
    return Member(
        object_id=part.object_id,
        role=part.role,
        family=family,
        look_alike_of=part.look_alike_of,
        radius=radius,
        sheet=paint_sheet(family.surface.draw(rng, (size, size)), form, silhouette),
        normals=form.normals,
        extent=silhouette_extent(form),
        bending=draw_bending(rng, strength=liveliness),
        late=part.late,
        leaves=part.leaves,
    )


def stands_upright(member: Member) -> bool:
    """Whether a thing has an upper side and sways instead of turning about."""
    return member.family.outline in UPRIGHT
