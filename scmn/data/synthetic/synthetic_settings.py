"""Settings of synthetic sequences."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scmn.data.masks import MAX_OBJECT_ID, ObjectCount
from scmn.settings import Count, NotNegative, Pair, Range, Share, settings

_ObjectsOrNone = Annotated[int, Field(ge=0, le=MAX_OBJECT_ID)]


@settings(frozen=True)
class SyntheticSettings:
    """What synthetic sequences show; ranges are inclusive."""

    size: Pair[Annotated[int, Field(ge=32, le=32766)]] = (480, 854)
    """Height, width in pixels. The scene of a sequence does not depend on it."""
    frames: Count = 40
    objects: Range[ObjectCount] = (1, 4)
    """Labelled objects."""
    distractors: Range[_ObjectsOrNone] = (0, 2)
    """Unlabelled objects that move among the labelled ones."""
    occluders: Range[_ObjectsOrNone] = (0, 2)
    """Unlabelled objects that pass in front of everything."""
    look_alikes: Share = 0.5
    """Probability that an object or distractor after the first looks like an earlier object."""
    out_of_view: Share = 0.25
    """Probability that an object leaves the frame and returns."""
    late_objects: Share = 0.0
    """Probability that an object, other than the first, appears only after frame 0."""
    camouflage: Share = 0.1
    """Probability that an object has the colours of the background."""
    deformation: NotNegative = 1.0
    """Strength of non-rigid motion; 0: rigid."""
    camera_motion: NotNegative = 1.0
    """Strength of pan, zoom, roll and shake; 0: a tripod."""
    illumination: NotNegative = 1.0
    """Strength of changes of the light; 0: constant."""
    shadows: bool = True
    motion_blur: Share = 0.4
    """Exposure time as a fraction of the frame interval."""
    sensor_noise: NotNegative = 1.5
    """Standard deviation, grey levels."""
    minimum_area: Annotated[float, Field(ge=0, le=0.2)] = 0.004
    """Smallest visible area of each object in frame 0, as a fraction of the frame.

    For a late object: at the frame that shows most of it."""
