"""Objects of still images pasted into clips of still images and of videos."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from scmn.data.clips.pasting import PasteSettings
from scmn.data.clips.static_clips import StaticClips
from scmn.data.clips.video_clips import VideoClips
from tests.data.training_trees import (
    SETTINGS,
    STILL,
    UNCHANGED,
    labels_with,
    static_source,
    video,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_pasting_labels_and_covers_as_set(tmp_path: Path) -> None:
    everywhere = np.full((32, 48), 1, np.uint8)
    paste = PasteSettings(max_count=1, probability=1.0, labelled=1.0, behind=0.0, size=(0.5, 0.5))
    augmentation = dataclasses.replace(STILL, paste=paste)
    source = static_source(tmp_path, everywhere, everywhere, augmentation=augmentation)
    drawn = source.draw(0, rng=rng(), progress=0.0)
    assert drawn.objects == 2
    assert "with objects of" in drawn.source
    for labels in drawn.labels:
        assert 0.02 < (labels == 2).mean() < 0.4
    hidden = dataclasses.replace(STILL, paste=dataclasses.replace(paste, labelled=0.0))
    distracted = StaticClips(source.images, name="a", settings=SETTINGS, augmentation=hidden)
    drawn = distracted.draw(0, rng=rng(), progress=0.0)
    assert drawn.objects == 1
    assert (drawn.labels[0] == 0).any()
    behind = dataclasses.replace(STILL, paste=dataclasses.replace(paste, behind=1.0))
    covered = StaticClips(source.images, name="a", settings=SETTINGS, augmentation=behind)
    drawn = covered.draw(0, rng=rng(), progress=0.0)
    assert (drawn.labels[0] == 1).all()
    np.testing.assert_array_equal(drawn.images[0], source.images[0].read()[0])


def test_pasting_look_alikes_copies_the_clips_own_object(tmp_path: Path) -> None:
    paste = PasteSettings(
        max_count=1, probability=1.0, labelled=0.0, behind=0.0, look_alike=1.0, size=(0.3, 0.3)
    )
    augmentation = dataclasses.replace(STILL, paste=paste)
    own, other = labels_with((1, 12)), labels_with((3, 9))
    source = static_source(tmp_path, own, other, augmentation=augmentation)
    for index, image in enumerate(source.images):
        drawn = source.draw(index, rng=rng(), progress=0.0)
        assert drawn.source.endswith(f"with objects of {image.name}")
    videos = video_clips(tmp_path, paste)
    drawn = videos.draw(0, rng=rng(), progress=0.0)
    assert drawn.source.endswith(f"with objects of {videos.videos[0].name}")
    without_images = VideoClips(
        videos.videos, name="a", settings=SETTINGS, augmentation=videos.augmentation
    )
    drawn = without_images.draw(0, rng=rng(), progress=0.0)
    assert "with objects of" in drawn.source


def test_pasting_moves_the_object_independently(tmp_path: Path) -> None:
    paste = PasteSettings(max_count=1, probability=1.0, labelled=1.0, behind=0.0, drift=0.2)
    augmentation = dataclasses.replace(STILL, paste=paste)
    source = static_source(tmp_path, labels_with((1, 12)), augmentation=augmentation)
    drawn = source.draw(0, rng=rng(1), progress=0.0)
    places = [np.argwhere(labels == 2).mean(axis=0) for labels in drawn.labels]
    steps = np.diff(places, axis=0)
    assert np.abs(steps).max() > 0.5
    np.testing.assert_allclose(steps[0], steps[1], atol=1.0)


def video_clips(folder: Path, paste: PasteSettings) -> VideoClips:
    """Clips of a video of object 5, with the objects of two still images."""
    stills = static_source(folder / "stills", labels_with((1, 12)), labels_with((3, 9)))
    return VideoClips(
        [video(folder / "dog", [labels_with((5, 9))] * 3)],
        name="a",
        settings=SETTINGS,
        augmentation=dataclasses.replace(UNCHANGED, paste=paste),
        pasted_images=stills.images,
    )


def test_pasting_adds_a_still_object_to_a_video(tmp_path: Path) -> None:
    paste = PasteSettings(max_count=1, probability=1.0, labelled=1.0, behind=1.0, size=(0.5, 0.5))
    drawn = video_clips(tmp_path, paste).draw(0, rng=rng(2), progress=0.0)
    assert drawn.objects == 2
    assert "with objects of stills/" in drawn.source
    for frame, labels in enumerate(drawn.labels):
        np.testing.assert_array_equal(labels == 1, labels_with((5, 9)) == 5, f"frame {frame}")
        assert (labels == 2).any()


def test_pasting_unlabelled_objects_occludes_a_video(tmp_path: Path) -> None:
    paste = PasteSettings(max_count=1, probability=1.0, labelled=0.0, behind=0.0, size=(3.0, 3.0))
    distracted = video_clips(tmp_path, paste)
    plain = VideoClips(distracted.videos, name="a", settings=SETTINGS, augmentation=UNCHANGED)
    whole = plain.draw(0, rng=rng(), progress=0.0)
    covered = 0
    for seed in range(8):
        drawn = distracted.draw(0, rng=rng(seed), progress=0.0)
        for before, after, image, pasted in zip(
            whole.labels, drawn.labels, whole.images, drawn.images, strict=True
        ):
            assert set(np.unique(after)) <= {0, 1}
            assert (pasted != image)[before != after].any() == (before != after).any()
            covered += int((before != after).sum())
    assert covered > 0


def test_pasting_without_still_images_changes_nothing(tmp_path: Path) -> None:
    sequence = video(tmp_path / "dog", [labels_with((5, 9))] * 3)
    always = dataclasses.replace(UNCHANGED, paste=PasteSettings(probability=1.0, labelled=1.0))
    clips = VideoClips([sequence], name="a", settings=SETTINGS, augmentation=always)
    assert clips.draw(0, rng=rng(), progress=0.0).objects == 1
