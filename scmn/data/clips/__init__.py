"""Training clips: still images and videos -> batches, a pure function of seed and sample number.

settings = ClipSettings(frames=3, size=(384, 384), max_objects=3)
ecssd = StaticClips(static_images(root), name="ecssd", settings=settings)
mixture = ClipMixture([MixtureEntry(ecssd, repeat=1)], seed=0, total_samples=10_000)
for batch in ClipLoader(mixture, batch_size=4, workers=2): ...
"""

from __future__ import annotations

from scmn.data.clips.clip import ClipBatch, ClipSettings, TrainingClip, collate_clips
from scmn.data.clips.coco import coco_images
from scmn.data.clips.colour import ClipColours, ColourJitter
from scmn.data.clips.curriculum import SkipCurriculum
from scmn.data.clips.geometry import AffineRange
from scmn.data.clips.loading import ClipLoader, SampleNumbers
from scmn.data.clips.mixture import ClipMixture, ClipSource, MixtureEntry
from scmn.data.clips.pasting import PasteSettings
from scmn.data.clips.static_clips import StaticAugmentation, StaticClips
from scmn.data.clips.static_images import StaticImage, images_of_videos
from scmn.data.clips.static_layouts import static_images
from scmn.data.clips.synthetic_clips import SyntheticClips
from scmn.data.clips.training_videos import open_training_videos
from scmn.data.clips.video_clips import VideoAugmentation, VideoClips

__all__ = [
    "AffineRange",
    "ClipBatch",
    "ClipColours",
    "ClipLoader",
    "ClipMixture",
    "ClipSettings",
    "ClipSource",
    "ColourJitter",
    "MixtureEntry",
    "PasteSettings",
    "SampleNumbers",
    "SkipCurriculum",
    "StaticAugmentation",
    "StaticClips",
    "StaticImage",
    "SyntheticClips",
    "TrainingClip",
    "VideoAugmentation",
    "VideoClips",
    "coco_images",
    "collate_clips",
    "images_of_videos",
    "open_training_videos",
    "static_images",
]
