"""Video clips: objects, time, settings of their data, synthetic videos."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scmn.data.clips.clip import ClipSettings, choose_targets
from scmn.data.clips.curriculum import SkipCurriculum
from scmn.data.clips.mixture import ClipMixture, MixtureEntry
from scmn.data.clips.sources import DataSettings, Source, open_source
from scmn.data.clips.static_clips import StaticAugmentation
from scmn.data.clips.synthetic_clips import SyntheticClips
from scmn.data.clips.video_clips import VideoAugmentation, VideoClips
from scmn.data.datasets import open_dataset
from scmn.data.masks import write_label_map
from scmn.data.synthetic import SyntheticSettings
from scmn.errors import InputError
from tests.data.training_trees import SETTINGS, UNCHANGED, labels_with, noise, video
from tests.data.trees import add_frames, add_mask, numbered

FIRST_HALF = ClipSettings(frames=3, size=(32, 48), max_objects=3, redraws=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def frame_indices(source: str) -> list[int]:
    return [int(index) for index in source.split("frames ")[1].split()]


def test_video_clips_without_augmentation_are_the_frames(tmp_path: Path) -> None:
    maps = [labels_with((7, 5 + number)) for number in range(5)]
    sequence = video(tmp_path / "dog", maps, step=2)
    clips = VideoClips([sequence], name="a", settings=SETTINGS, augmentation=UNCHANGED)
    drawn = clips.draw(0, rng=rng(2), progress=0.0)
    indices = frame_indices(drawn.source)
    assert all(index % 2 == 0 for index in indices), "only annotated frames"
    for index, image, labels in zip(indices, drawn.images, drawn.labels, strict=True):
        np.testing.assert_array_equal(image, noise(index))
        np.testing.assert_array_equal(labels, maps[index // 2] == 7)


def test_video_clips_reverse_time_as_often_as_set(tmp_path: Path) -> None:
    sequence = video(tmp_path / "dog", [labels_with((1, 9))] * 8)
    counts = {}
    for reverse in (0.0, 0.5, 1.0):
        augmentation = dataclasses.replace(UNCHANGED, reverse=reverse)
        clips = VideoClips([sequence], name="a", settings=SETTINGS, augmentation=augmentation)
        drawn = [clips.draw(0, rng=rng(seed), progress=0.0) for seed in range(40)]
        ways = [np.sign(np.diff(frame_indices(clip.source))) for clip in drawn]
        assert all(abs(way.sum()) == 2 for way in ways), "one way in a clip"
        counts[reverse] = sum(way[0] < 0 for way in ways)
    assert counts[0.0] == 0
    assert counts[1.0] == 40
    assert 10 <= counts[0.5] <= 30


def test_video_clips_redraw_until_the_first_frame_has_an_object(tmp_path: Path) -> None:
    empty, full = labels_with(), labels_with((4, 9))
    sequence = video(tmp_path / "dog", [empty, full, full, empty, empty, full, full, full])
    settings = dataclasses.replace(SETTINGS, redraws=40)
    curriculum = SkipCurriculum(((0.0, 1),))
    clips = VideoClips(
        [sequence], name="a", settings=settings, augmentation=UNCHANGED, curriculum=curriculum
    )
    starts = set()
    for seed in range(30):
        drawn = clips.draw(0, rng=rng(seed), progress=0.0)
        assert drawn.objects == 1
        starts.add(frame_indices(drawn.source)[0])
    assert starts == {1, 2, 5}


def test_video_clips_accept_empty_and_tiny_masks(tmp_path: Path) -> None:
    tiny = labels_with((9, 1), (3, 2))
    empty_video = video(tmp_path / "empty", [labels_with()] * 4)
    tiny_video = video(tmp_path / "tiny", [tiny] * 4)
    settings = dataclasses.replace(SETTINGS, minimum_area=0.1)
    clips = VideoClips(
        [empty_video, tiny_video], name="a", settings=settings, augmentation=UNCHANGED
    )
    assert clips.draw(0, rng=rng(), progress=0.0).objects == 0
    drawn = clips.draw(1, rng=rng(), progress=0.0)
    assert drawn.objects == 1
    np.testing.assert_array_equal(drawn.labels[0], tiny == 3)


def test_video_clips_targets_are_objects_of_the_first_frame(tmp_path: Path) -> None:
    maps = [labels_with((2, 9)), labels_with((2, 9), (5, 9)), labels_with((5, 9), (255, 3))]
    sequence = video(tmp_path / "dog", maps)
    clips = VideoClips([sequence], name="a", settings=SETTINGS, augmentation=UNCHANGED)
    drawn = clips.draw(0, rng=rng(), progress=0.0)
    assert frame_indices(drawn.source) == [0, 1, 2]
    np.testing.assert_array_equal(drawn.labels[1], maps[1] == 2)
    np.testing.assert_array_equal(drawn.labels[2], np.where(maps[2] == 255, 255, 0))


def test_choose_targets_takes_objects_of_the_minimum_area() -> None:
    labels = labels_with((1, 8), (2, 8), (3, 8), (4, 1))
    settings = ClipSettings(size=(32, 48), max_objects=2, minimum_area=0.01)
    random = rng()
    chosen = {choose_targets(labels, settings, random) for _ in range(100)}
    assert chosen == {(1, 2), (1, 3), (2, 3)}


def test_video_clips_refuse_frames_of_two_sizes(tmp_path: Path) -> None:
    sequence = video(tmp_path / "dog", [labels_with((1, 9))] * 3)
    write_label_map(sequence.annotation_paths[1], labels_with((1, 9), size=(40, 40)))
    clips = VideoClips([sequence], name="a", settings=SETTINGS, augmentation=UNCHANGED)
    with pytest.raises(InputError, match="video 'dog', frame 1: the label map is 40x40"):
        clips.draw(0, rng=rng(), progress=0.0)


def test_video_clips_refuse_no_video_and_no_label_map(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'a' has no video"):
        VideoClips([], name="a", settings=SETTINGS)
    sequence = dataclasses.replace(video(tmp_path / "dog", [labels_with()]), annotation_paths={})
    with pytest.raises(InputError, match="video 'dog' has no label map"):
        VideoClips([sequence], name="a", settings=SETTINGS)


# Data sets.


def test_open_dataset_finds_training_videos(tmp_path: Path) -> None:
    frames, masks = tmp_path / "train" / "JPEGImages", tmp_path / "train" / "Annotations"
    add_frames(frames / "cat", numbered(3, step=5))
    for name in numbered(3, step=5):
        add_mask(masks / "cat" / f"{name}.png", 1)
    for name in ("youtube-vos-2019-train", "mose-train"):
        sequences = open_dataset(name, tmp_path).sequences
        assert [sorted(sequence.annotation_paths) for sequence in sequences] == [[0, 1, 2]]
    with pytest.raises(InputError, match="did you mean 'mose-train'"):
        open_dataset("mose-trian", tmp_path)


def test_open_source_takes_the_frame_interval_from_the_kind(tmp_path: Path) -> None:
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / "train" / name).mkdir(parents=True)
    video(tmp_path / "train/JPEGImages/cat", [labels_with((1, 9))] * 3, step=5)
    masks = tmp_path / "train/JPEGImages/cat/masks"
    masks.rename(tmp_path / "train/Annotations/cat")
    for interval, expected in ((None, 5), (2, 2)):
        data = DataSettings("youtube-vos-2019-train", str(tmp_path), frame_interval=interval)
        source = open_source("youtube", data, SETTINGS, seed=0, where="data.youtube")
        assert isinstance(source, VideoClips)
        assert source.frame_interval == expected
    assert DataSettings("davis2017-train").frame_interval == 1


def test_open_source_reads_bl30k(tmp_path: Path) -> None:
    data = DataSettings("bl30k", str(tmp_path))

    def opened(**changes: object) -> Source:
        return open_source(
            "bl", dataclasses.replace(data, **changes), SETTINGS, seed=0, where="data.bl"
        )

    with pytest.raises(InputError, match=r"JPEGImages does not exist; expected BL30K: JPEGImages/"):
        opened()
    (tmp_path / "Annotations").mkdir()
    for name in ("a", "b"):
        folder = tmp_path / "JPEGImages" / name
        video(folder, [labels_with((1, 9))] * 4)
        if name == "b":
            with pytest.raises(InputError, match=r"Annotations has no folder 'b' \(1 are missing"):
                opened()
        (folder / "masks").rename(tmp_path / "Annotations" / name)
    source = opened()
    assert len(source) == 2
    clip = source.draw(1, rng=rng(), progress=0)
    assert clip.source.startswith("bl: b, frames ")
    assert clip.objects == 1
    assert len(opened(exclude=["a"])) == 1
    with pytest.raises(InputError, match=r"data\.bl\.stills does not apply to bl30k"):
        opened(stills=True)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("mose-train", {"still_augmentation": StaticAugmentation()}, "videos"),
        ("mose-train", {"stills": True, "paste_from": "stills"}, "still images"),
        ("static", {"video_augmentation": VideoAugmentation()}, "kind static"),
        ("static", {"exclude": ["a"]}, "kind static"),
        ("coco", {"curriculum": [(0.0, 5)]}, "kind coco"),
        ("synthetic", {"exclude": ["a"]}, "kind synthetic"),
    ],
)
def test_open_source_refuses_settings_that_do_not_apply(
    kind: str, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    data = DataSettings(kind, str(tmp_path), **given)
    with pytest.raises(
        InputError, match=rf"data\.a\.{list(given)[-1]} does not apply to {message}"
    ):
        open_source("a", data, SETTINGS, seed=0, where="data.a")


def test_video_clips_of_real_videos(shared_data: Path) -> None:
    settings = ClipSettings(size=(96, 96))
    davis = open_dataset("davis2016-train", shared_data / "davis2016-train-288p").sequences
    youtube = open_dataset("youtube-vos-2019-train", shared_data / "youtubevos-sparse").sequences
    assert len(davis) == 30
    assert len(youtube) == 11
    entries = [
        MixtureEntry(VideoClips(davis, name="davis", settings=settings, frame_interval=2)),
        MixtureEntry(VideoClips(youtube, name="youtube", settings=settings, frame_interval=5), 2),
    ]
    mixture = ClipMixture(entries, seed=0, total_samples=40)
    clips = [mixture[number] for number in range(0, 40, 2)]
    assert all(clip.valid_objects[0] for clip in clips)
    assert {clip.source.split(":")[0] for clip in clips} == {"davis", "youtube"}


# Synthetic videos.

SYNTHETIC = SyntheticSettings(size=(32, 48), frames=6, objects=(1, 2), minimum_area=0.02)


def test_synthetic_clips_show_the_same_scenes_in_every_pass() -> None:
    source = SyntheticClips(SYNTHETIC, seed=1, scenes=2, settings=SETTINGS)
    first, other, again = (source.draw(i, rng=rng(0), progress=0.5) for i in (0, 1, 0))
    assert first.source == again.source != other.source
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_synthetic_clips_endless_show_new_scenes() -> None:
    source = SyntheticClips(SYNTHETIC, seed=1, scenes=2, settings=SETTINGS, endless=True)
    mixture = ClipMixture([MixtureEntry(source)], seed=0, total_samples=6)
    names = {mixture[number].source.split(",")[0] for number in range(6)}
    assert len(names) == 6
