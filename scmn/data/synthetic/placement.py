"""Where objects start and how they move, so that crossings, occlusions and exits happen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from scmn.data.synthetic.cast import Member
from scmn.data.synthetic.motion import Excursion, Path, draw_wander
from scmn.data.synthetic.objects import MovingObject
from scmn.data.synthetic.shapes import UPRIGHT
from scmn.data.synthetic.synthetic_settings import SyntheticSettings

_EVENT_FRAMES = 12  # a shorter sequence has no time to leave and return
_CANDIDATES = 14


def place_cast(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    cast: Sequence[Member],
    half_frame: np.ndarray,
) -> tuple[MovingObject, ...]:
    """Give every object a path and a depth; return them with the furthest first.

    Occluders are in front, the others in any order. ``half_frame`` (2,) is in units.
    """
    paths = _Paths(settings.frames, rng, cast, half_frame).draw()
    depths = rng.random(len(cast)) + [member.part.occluder for member in cast]
    placed = []
    for index in np.argsort(depths):
        member = cast[int(index)]
        front = member.part.occluder
        placed.append(
            MovingObject(
                object_id=member.part.object_id,
                radius=member.radius,
                sheet=member.sheet,
                path=paths[int(index)],
                bending=member.bending,
                gloss=member.family.gloss,
                height=float(rng.uniform(0.05, 0.09) if front else rng.uniform(0.015, 0.045)),
                softness=float(rng.choice([0.0, 0.008]) if front else 0.0),
            )
        )
    return tuple(placed)


@dataclass
class _Paths:
    """Draws the paths of one cast from one stream of random numbers."""

    frames: int
    rng: np.random.Generator
    cast: Sequence[Member]
    half_frame: np.ndarray
    anchors: list[np.ndarray] = field(default_factory=list)
    """Place of each object at frame 0."""

    def draw(self) -> list[Path]:
        for member in self.cast:
            self.anchors.append(self._anchor(member))
        return [
            self._cross() if member.part.occluder else self._stay(index)
            for index, member in enumerate(self.cast)
        ]

    def _anchor(self, member: Member) -> np.ndarray:
        """Draw a place at frame 0: away from the others, but near the object it looks like."""
        rng = self.rng
        box = np.maximum(self.half_frame - 0.75 * member.radius, 0.3 * self.half_frame)
        candidates = rng.uniform(-box, box, (_CANDIDATES, 2))
        if member.part.look_alike_of is not None and rng.random() < 0.7:
            angle = rng.uniform(0, 2 * np.pi, _CANDIDATES)
            ring = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.uniform(1.6, 2.6)
            near = self.anchors[member.part.look_alike_of] + ring * member.radius
            candidates = np.clip(near, -box, box)
        room = [self._room(candidate, member) for candidate in candidates]
        return np.asarray(candidates[int(np.argmax(room))])

    def _room(self, place: np.ndarray, member: Member) -> float:
        """Return the gap to the nearest object that is already placed, units, at most 0.25."""
        gaps = [
            float(np.hypot(*(place - anchor))) - 0.8 * (member.radius + other.radius)
            for anchor, other in zip(self.anchors, self.cast, strict=False)
        ]
        return min([0.25, *gaps])

    def _stay(self, index: int) -> Path:
        """Wander about in view, with a way out of it or to another object in between."""
        rng = self.rng
        upright = self.cast[index].family.outline in UPRIGHT
        liveliness = rng.choice([0.5, 1.0, 1.6])
        amplitudes = (0.2 * liveliness, 0.1 * liveliness, 0.12 if upright else 0.35, 0.13)
        return Path(
            anchor=self.anchors[index],
            wander=draw_wander(rng, amplitudes),
            excursion=self._excursion(index),
            limits=self.half_frame + 0.1,
            angle=float(rng.normal(0, 0.08) if upright else rng.uniform(-0.6, 0.6)),
            spin=0.0 if upright else float(rng.choice([0.0, 0.0, 0.035, -0.035]) * rng.random()),
        )

    def _cross(self) -> Path:
        """Cross the frame in front of an object's first place, well after frame 0."""
        rng = self.rng
        goal = self.anchors[int(rng.integers(len(self.anchors)))]
        direction = rng.choice([-1.0, 1.0])
        speed = rng.uniform(0.025, 0.055)
        meeting = rng.uniform(0.35, 0.7) * max(self.frames, 16)
        return Path(
            anchor=goal - np.array([direction * speed * meeting, 0.0]),
            wander=draw_wander(rng, (0.02, 0.05, 0.2, 0.05)),
            velocity=np.array([direction * speed, 0.0]),
            angle=float(rng.uniform(-np.pi, np.pi)),
        )

    def _excursion(self, index: int) -> Excursion | None:
        rng, frames, part = self.rng, self.frames, self.cast[index].part
        if part.late:
            ramp = min(max(0.3 * frames, 2.0), 24.0)
            come_back = rng.uniform(0.3, 0.6) * frames + ramp * 0.5
            # It has left before frame 0.
            return Excursion(self._way_out(index), -2 * ramp, min(come_back, frames - 1.0), ramp)
        if frames < _EVENT_FRAMES:
            return None
        if part.leaves:
            ramp = min(max(0.28 * frames, 4.0), 24.0)
            leave = rng.uniform(0.02, 0.2) * frames
            come_back = min(leave + 2 * ramp + rng.uniform(0.05, 0.25) * frames, 0.95 * frames)
            return Excursion(self._way_out(index), leave, come_back, ramp)
        return self._visit(index)

    def _visit(self, index: int) -> Excursion | None:
        """Sometimes, and mostly if there is a look-alike, go to another object or past it."""
        rng, family = self.rng, self.cast[index].family
        others = [k for k in range(len(self.cast)) if k != index]
        alike = [k for k in others if self.cast[k].family is family]
        goals = alike or [k for k in others if self.cast[k].part.object_id]
        if not goals or rng.random() >= (0.6 if alike else 0.3):
            return None
        goal = self.anchors[int(rng.choice(goals))]
        ramp = rng.uniform(14.0, 26.0)
        leave = rng.uniform(0.1, 0.5) * self.frames
        stays = rng.random() < 0.5
        come_back = math.inf if stays else leave + ramp * rng.uniform(2.0, 3.0)
        return Excursion(
            (goal - self.anchors[index]) * rng.uniform(0.8, 1.2), leave, come_back, ramp
        )

    def _way_out(self, index: int) -> np.ndarray:
        """Return the offset that takes an object out of view by the nearer side."""
        anchor = self.anchors[index]
        outside = self.half_frame[0] * 1.06 + 1.05 * self.cast[index].radius + 0.12
        side = math.copysign(1.0, anchor[0])
        return np.array([side * outside - anchor[0], self.rng.uniform(-0.1, 0.1)])
