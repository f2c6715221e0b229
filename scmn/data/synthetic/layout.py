"""Where the cast starts and how it moves, so that crossings, occlusions and exits happen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scmn.data.synthetic.cast import Member, stands_upright
from scmn.data.synthetic.motion import Excursion, Path, draw_wander
from scmn.data.synthetic.settings import SyntheticSettings

_EVENT_FRAMES = 12  # a shorter sequence has no time to leave and come back
_CANDIDATES = 14


def draw_paths(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    cast: Sequence[Member],
    half: np.ndarray,
) -> list[Path]:
    """Draw one path per member of the cast; ``half`` (2,) is half the frame in units."""
    anchors = _draw_anchors(rng, cast, half)
    return [
        _pass_by(settings, rng, member, anchors, half)
        if member.role == "occluder"
        else _stay(settings, rng, place, cast, anchors, half)
        for place, member in enumerate(cast)
    ]


def _draw_anchors(
    rng: np.random.Generator, cast: Sequence[Member], half: np.ndarray
) -> list[np.ndarray]:
    """Draw places at frame 0, far from each other, but look-alikes near what they look like."""
    anchors: list[np.ndarray] = []
    for member in cast:
        box = np.maximum(half - 0.75 * member.radius, 0.3 * half)
        candidates = rng.uniform(-box, box, (_CANDIDATES, 2))
        if member.look_alike_of is not None and rng.random() < 0.7:
            angle = rng.uniform(0, 2 * np.pi, _CANDIDATES)
            ring = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.uniform(1.6, 2.6)
            near = anchors[member.look_alike_of] + ring * member.radius
            candidates = np.clip(near, -box, box)
        room = [_room(candidate, member, anchors, cast) for candidate in candidates]
        anchors.append(candidates[int(np.argmax(room))])
    return anchors


def _room(
    place: np.ndarray, member: Member, anchors: Sequence[np.ndarray], cast: Sequence[Member]
) -> float:
    gaps = [
        float(np.hypot(*(place - anchor))) - 0.8 * (member.radius + other.radius)
        for anchor, other in zip(anchors, cast, strict=False)
    ]
    # Enough room is enough: beyond it, the first candidate is as good as any.
    return min([0.25, *gaps])


def _stay(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    place: int,
    cast: Sequence[Member],
    anchors: Sequence[np.ndarray],
    half: np.ndarray,
) -> Path:
    """Wander about in view, with a way out or to another's place in between."""
    member, anchor = cast[place], anchors[place]
    upright = stands_upright(member)
    liveliness = rng.choice([0.5, 1.0, 1.6])
    amplitudes = (0.2 * liveliness, 0.1 * liveliness, 0.12 if upright else 0.35, 0.13)
    return Path(
        anchor=anchor,
        wander=draw_wander(rng, amplitudes),
        excursions=_excursions(settings, rng, place, cast, anchors, half),
        limits=half + 0.1,
        angle=float(rng.normal(0, 0.08) if upright else rng.uniform(-0.6, 0.6)),
        spin=0.0 if upright else float(rng.choice([0.0, 0.0, 0.035, -0.035]) * rng.random()),
    )


def _excursions(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    place: int,
    cast: Sequence[Member],
    anchors: Sequence[np.ndarray],
    half: np.ndarray,
) -> tuple[Excursion, ...]:
    member, anchor, frames = cast[place], anchors[place], settings.frames
    if member.late:
        return (_enter(rng, member, anchor, half, frames),)
    if frames < _EVENT_FRAMES:
        return ()
    if member.leaves:
        ramp = min(max(0.28 * frames, 4.0), 24.0)
        leave = rng.uniform(0.02, 0.2) * frames
        away = rng.uniform(0.05, 0.25) * frames
        come_back = min(leave + 2 * ramp + away, 0.95 * frames)
        return (Excursion(_way_out(rng, member, anchor, half), leave, come_back, ramp),)
    meets = [other for other in range(len(cast)) if _are_alike(cast, place, other)]
    others = meets or [k for k, other in enumerate(cast) if other.role == "object" and k != place]
    if others and rng.random() < (0.6 if meets else 0.3):
        goal = anchors[int(rng.choice(others))]
        ramp = rng.uniform(14.0, 26.0)
        leave = rng.uniform(0.1, 0.5) * frames
        # It goes to where the other was, or past it, and sometimes stays.
        stays = rng.random() < 0.5
        come_back = math.inf if stays else leave + ramp * rng.uniform(2.0, 3.0)
        return (Excursion((goal - anchor) * rng.uniform(0.8, 1.2), leave, come_back, ramp),)
    return ()


def _are_alike(cast: Sequence[Member], first: int, second: int) -> bool:
    return first != second and cast[first].family is cast[second].family


def _way_out(
    rng: np.random.Generator, member: Member, anchor: np.ndarray, half: np.ndarray
) -> np.ndarray:
    """Return the offset that takes a thing out of view by the nearer side."""
    side = math.copysign(1.0, anchor[0])
    outside = half[0] * 1.06 + 1.05 * member.radius + 0.12
    return np.array([side * outside - anchor[0], rng.uniform(-0.1, 0.1)])


def _enter(
    rng: np.random.Generator, member: Member, anchor: np.ndarray, half: np.ndarray, frames: int
) -> Excursion:
    """Return an excursion that has begun before frame 0."""
    ramp = min(max(0.3 * frames, 2.0), 24.0)
    come_back = rng.uniform(0.3, 0.6) * frames + ramp * 0.5
    offset = _way_out(rng, member, anchor, half)
    return Excursion(offset, -2 * ramp, min(come_back, frames - 1.0), ramp)


def _pass_by(
    settings: SyntheticSettings,
    rng: np.random.Generator,
    member: Member,
    anchors: Sequence[np.ndarray],
    half: np.ndarray,
) -> Path:
    """Cross the frame in front of an object's first place, well after frame 0."""
    goal = anchors[int(rng.integers(len(anchors)))]
    direction = rng.choice([-1.0, 1.0])
    speed = rng.uniform(0.025, 0.055)
    meeting = rng.uniform(0.35, 0.7) * max(settings.frames, 16)
    start = goal - np.array([direction * speed * meeting, 0.0])
    return Path(
        anchor=start,
        wander=draw_wander(rng, (0.02, 0.05, 0.2, 0.05)),
        velocity=np.array([direction * speed, 0.0]),
        angle=float(rng.uniform(-np.pi, np.pi)),
    )
