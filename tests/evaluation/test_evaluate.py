"""An evaluation inside one process: what is written, refused, and reported."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn import AugmentedSegmenter, InputError, VideoSegmenter, build_model
from scmn.data.datasets import open_dataset
from scmn.data.masks import read_label_map, write_label_map
from scmn.evaluation.evaluate import rescore
from scmn.evaluation.evaluator import Evaluator
from scmn.evaluation.summary import result_table
from scmn.evaluation.tasks import dataset_task
from scmn.output_lock import LOCK
from tests.conftest import build_small
from tests.evaluation.runs import FRAMES, SIZE, masks_of, run, run_task, same


def test_evaluate_writes_masks_overlays_scores_and_report(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    result = run(davis, weights, tmp_path, exports=["overlay"])
    masks = masks_of(tmp_path)
    assert len(masks) == 2 * FRAMES
    for name, labels in masks.items():
        assert labels.shape == SIZE
        with Image.open(tmp_path / name) as image:
            assert image.mode == "P"
    first = read_label_map(davis / "Annotations/480p" / result.records[0].name / "00000.png")
    assert np.array_equal(masks[f"masks/{result.records[0].name}/00000.png"], first)
    assert len(list((tmp_path / "overlays").glob("*.mp4"))) == 2
    names = {path.name for path in result.files}
    assert {"global_results-val.csv", "per-sequence_results-val.csv", "results.json"} <= names
    assert "report.html" in names
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["protocol"] == "davis"
    assert "segmenter" in content["facts"]["frames/s"]
    assert content["facts"]["device"].startswith("cpu, ")
    table = {line.split("  ")[0]: line for line in result_table(result).splitlines()}
    assert content["facts"]["device"] in table["device"]
    assert "fp32" in table["precision"]
    assert "96x64" in table["size at the network"]
    assert "in all" in table["objects"]
    assert "per process" not in table["frames/s"]
    assert "peak memory" in table
    assert table["sequence"].split()[2] == "J&F"


@pytest.mark.parametrize("length", [1, 2])
def test_evaluate_scores_the_others_beside_a_short_sequence(
    davis: Path, weights: Path, tmp_path: Path, length: int
) -> None:
    shutil.copytree(davis, tmp_path / "data")
    short, normal = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())
    for part in ("JPEGImages", "Annotations"):
        for path in sorted((tmp_path / "data" / part / "480p" / short).iterdir())[length:]:
            path.unlink()
    result = run(tmp_path / "data", weights, tmp_path / "out")
    alone = run(davis, weights, tmp_path / "alone", sequences=[normal])
    assert result.scores is not None
    assert alone.scores is not None
    assert result.scores.summary == alone.scores.summary
    content = json.loads((tmp_path / "out/results.json").read_text())
    assert content["notes"][0].startswith(f"{short}: not scored")
    assert (tmp_path / "out/global_results-val.csv").is_file()
    assert f"{short}: not scored" in result_table(result)
    assert f"{short}: not scored" in (tmp_path / "out/report.html").read_text()
    scores, _ = rescore(tmp_path / "out/masks", dataset_task("davis2017-val", tmp_path / "data"))
    assert scores.summary == alone.scores.summary


def test_evaluate_writes_masks_without_scores_for_short_sequences(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    shutil.copytree(davis, tmp_path / "data")
    for part in ("JPEGImages", "Annotations"):
        for folder in (tmp_path / "data" / part / "480p").iterdir():
            for path in sorted(folder.iterdir())[2:]:
                path.unlink()
    result = run(tmp_path / "data", weights, tmp_path / "out")
    assert result.scores is None
    content = json.loads((tmp_path / "out/results.json").read_text())
    assert "2 annotated frames" in content["facts"]["no scores"]
    assert (tmp_path / "out/report.html").is_file()
    with pytest.raises(InputError, match=r"val cannot be scored: .*2 annotated frames"):
        rescore(tmp_path / "out/masks", dataset_task("davis2017-val", tmp_path / "data"))


def test_evaluate_warns_of_random_weights(
    davis: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = [f"model.switches.{name}=16" for name in ("key_dim", "value_dim", "hidden_dim")]
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    task = dataset_task("davis2017-val", davis, [name])
    with caplog.at_level(logging.WARNING):
        run_task(task, None, tmp_path, "model.name=stcn", "model.backbone=resnet18", *small)
    assert "the network is random" in caplog.text


def test_evaluate_refuses_a_folder_of_other_masks(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="not written by eval"):
        run(davis, weights, tmp_path)


def test_rescore_gives_the_same_scores(davis: Path, weights: Path, tmp_path: Path) -> None:
    result = run(davis, weights, tmp_path / "run")
    assert result.scores is not None
    task = dataset_task("davis2017-val", davis)
    scores, files = rescore(tmp_path / "run" / "masks", task, output=tmp_path / "scores")
    assert scores.summary == result.scores.summary
    assert all(path.parent == tmp_path / "scores" for path in files)
    csv = "per-sequence_results-val.csv"
    assert (tmp_path / "scores" / csv).read_text() == (tmp_path / "run" / csv).read_text()


def test_dataset_task_selects_sequences(davis: Path, weights: Path, tmp_path: Path) -> None:
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[1]
    result = run(davis, weights, tmp_path, sequences=[name])
    assert [record.name for record in result.records] == [name]
    with pytest.raises(InputError, match="no sequence 'nonsense'"):
        run(davis, weights, tmp_path / "other", sequences=["nonsense"])


def test_evaluate_with_test_time_augmentation(davis: Path, weights: Path, tmp_path: Path) -> None:
    settings = ("evaluation.augmentation.flip=true", "evaluation.augmentation.scales=[1.0,1.3]")
    result = run(davis, weights, tmp_path, *settings)
    assert result.scores is not None
    assert len(masks_of(tmp_path)) == 2 * FRAMES
    segmenter = AugmentedSegmenter(build_model("scmn", weights=weights), scales=[1.0, 1.3])
    sequence = open_dataset("davis2017-val", davis).sequences[0]
    for frame in sequence.frames():
        labels = segmenter.step(frame.image, frame.labels).labels
        written = read_label_map(tmp_path / "masks" / sequence.name / f"{frame.name}.png")
        assert np.array_equal(written, labels)


def youtube_tree(davis: Path, root: Path) -> str:
    """Rearrange a synthetic sequence as YouTube-VOS, its last object appearing on frame 2."""
    source = next(
        path
        for path in sorted((davis / "Annotations/480p").iterdir())
        if read_label_map(path / "00002.png").max() >= 2
    )
    name = source.name
    late = int(read_label_map(source / "00000.png").max())
    all_frames = root / "all_frames/valid_all_frames/JPEGImages" / name
    shutil.copytree(davis / "JPEGImages/480p" / name, all_frames)
    listed = ["00000", "00002", "00004"]
    for frame in listed:
        (root / "valid/JPEGImages" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(all_frames / f"{frame}.jpg", root / "valid/JPEGImages" / name)
    first = read_label_map(source / "00000.png")
    first[first == late] = 0
    second = read_label_map(source / "00002.png")
    second[second != late] = 0
    write_label_map(root / "valid/Annotations" / name / "00000.png", first)
    write_label_map(root / "valid/Annotations" / name / "00002.png", second)
    objects = {
        "1": {"category": "thing", "frames": listed},
        str(late): {"category": "thing", "frames": listed[1:]},
    }
    (root / "valid/meta.json").write_text(json.dumps({"videos": {name: {"objects": objects}}}))
    return name


def test_evaluate_youtube_vos_with_an_object_that_appears_later(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    name = youtube_tree(davis, tmp_path / "data")
    task = dataset_task("youtube-vos-2019-val", tmp_path / "data")
    result = run_task(task, weights, tmp_path / "out", "evaluation.size=80")
    assert result.scores is None  # the annotations are the given ones only
    assert result.records[0].network_height == 80  # scaled up from 64
    assert result.records[0].frames == FRAMES
    assert result.records[0].written == ("00000", "00002", "00004")
    masks = masks_of(tmp_path / "out")
    assert set(masks) == {f"masks/{name}/{frame}.png" for frame in ("00000", "00002", "00004")}
    given = read_label_map(tmp_path / "data/valid/Annotations" / name / "00002.png")
    late = int(given.max())
    assert late not in masks[f"masks/{name}/00000.png"]
    assert np.array_equal(masks[f"masks/{name}/00002.png"] == late, given == late)
    assert (tmp_path / "out" / "youtube-vos-2019-val.zip").is_file()


def test_frames_that_are_neither_written_nor_remembered_are_not_segmented(
    davis: Path, tmp_path: Path
) -> None:
    youtube_tree(davis, tmp_path / "data")
    (sequence,) = open_dataset("youtube-vos-2019-val", tmp_path / "data").sequences
    segmenter = VideoSegmenter(build_small("stm"), memory={"keep_previous": False})
    masks = {}
    for name, source in {
        "listed": sequence,
        "all": dataclasses.replace(sequence, written_frames=None),
    }.items():
        evaluator = Evaluator([source], tmp_path / name)
        evaluator.segment(segmenter)
        (record,) = evaluator.records()
        assert record.frames == FRAMES
        assert record.segmented_frames == len(record.written)
        masks[name] = masks_of(tmp_path / name)
        assert evaluator.folder.picture(source.name).is_file()
    assert len(masks["listed"]) == 3
    assert same(masks["listed"], {path: masks["all"][path] for path in masks["listed"]})


def test_evaluate_resumes_after_a_full_disk(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = 0
    save = Image.Image.save

    def full(self: Image.Image, *args: object, **kwargs: object) -> None:
        nonlocal saves
        saves += 1
        if saves == 4:
            raise OSError(28, "No space left on device")
        save(self, *args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        with pytest.raises(InputError, match=r"cannot write .*00003\.png: No space left"):
            run(davis, weights, tmp_path)
    # What had been written is whole, and nothing half-written is left.
    assert len(masks_of(tmp_path)) == 3
    hidden = [path.name for path in tmp_path.rglob(".*") if path.is_file()]
    assert hidden == [LOCK]
    run(davis, weights, tmp_path)
    assert len(masks_of(tmp_path)) == 2 * FRAMES


def test_evaluate_names_sequence_and_frame_of_a_bad_mask(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    shutil.copytree(davis, tmp_path / "data")
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    mask = tmp_path / "data/Annotations/480p" / name / "00000.png"
    write_label_map(mask, np.zeros(SIZE, dtype=np.uint8))
    with pytest.raises(InputError, match=rf"'{name}', frame 00000: .*no object"):
        run(tmp_path / "data", weights, tmp_path / "out")
    write_label_map(mask, np.ones((9, 9), dtype=np.uint8))
    with pytest.raises(InputError, match=r"00000\.png"):
        run(tmp_path / "data", weights, tmp_path / "out")


def test_evaluate_refuses_too_many_objects(davis: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than max_objects=1"):
        run(davis, weights, tmp_path, "evaluation.max_objects=1")


def test_evaluator_without_settings_segments_everything_again(davis: Path, tmp_path: Path) -> None:
    evaluator = Evaluator(open_dataset("davis2017-val", davis), tmp_path, pictures=False)
    segmenter = VideoSegmenter(build_small("scmn"))
    evaluator.segment(segmenter)
    first = evaluator.records()
    evaluator.segment(segmenter)
    assert len(first) == 2
    assert evaluator.records() != first  # the measured times differ
    assert evaluator.score().protocol == "davis"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "records"]
