"""An evaluation inside one process: what is written, resumed, refused, and reported."""

from __future__ import annotations

import json
import logging
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn import InputError, save_weights
from scmn.config import Config
from scmn.data.masks import read_label_map, write_label_map
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.data.video import VideoWriter
from scmn.evaluation.evaluate import Result, evaluate, resolve_config
from scmn.evaluation.inputs import dataset_evaluation, video_evaluation
from scmn.evaluation.rescore import score_folder
from scmn.evaluation.summary import result_table
from tests.conftest import build_small

SIZE = (64, 96)
FRAMES = 6


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small synthetic sequences in the DAVIS layout."""
    folder = tmp_path_factory.mktemp("davis")
    write_davis(folder, sequences=2, settings=SyntheticSettings(size=SIZE, frames=FRAMES))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(build_small("scmn"), path)
    return path


def run(davis: Path, weights: Path, output: Path, *overrides: str, **options: object) -> Result:
    config = resolve_config(None, overrides, weights)
    evaluation = dataset_evaluation(
        "davis2017-val",
        davis,
        model="scmn",
        weights=weights,
        output=output,
        **options,  # type: ignore[arg-type]
    )
    result = evaluate(evaluation, config)
    assert result is not None
    return result


def masks_of(output: Path) -> dict[str, np.ndarray]:
    return {
        str(path.relative_to(output)): read_label_map(path)
        for path in sorted((output / "masks").rglob("*.png"))
    }


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)


def test_what_is_written(davis: Path, weights: Path, tmp_path: Path) -> None:
    result = run(davis, weights, tmp_path, overlay=True)
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
    assert "threads" in table["device"]
    assert "fp32" in table["precision"]
    assert "96x64" in table["size at the network"]
    assert "in all" in table["objects"]
    assert "per process" not in table["frames/s"]
    assert "peak memory" in table
    assert table["sequence"].split()[2] == "J&F"


def test_overlays_are_not_part_of_the_time(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        time.sleep(0.3)
        return image

    calls = 0
    monkeypatch.setattr("scmn.evaluation.runner.overlay", slow)
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    begun = time.perf_counter()
    (record,) = run(davis, weights, tmp_path, sequences=[name]).records
    assert calls == 4
    assert record.network_seconds < record.total_seconds < time.perf_counter() - begun - 0.3 * calls


def test_a_complete_run_is_not_run_again(davis: Path, weights: Path, tmp_path: Path) -> None:
    first = run(davis, weights, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").rglob("*.png")}
    again = run(davis, weights, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert again.records == first.records
    assert again.scores is not None
    assert first.scores is not None
    assert again.scores.summary == first.scores.summary


def test_an_interrupted_run_goes_on(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(davis, weights, tmp_path / "whole")
    written = 0

    def write(path: Path, labels: np.ndarray) -> None:
        nonlocal written
        written += 1
        if written == FRAMES + 3:
            raise KeyboardInterrupt
        write_label_map(path, labels)

    with monkeypatch.context() as patch:
        patch.setattr("scmn.evaluation.runner.write_label_map", write)
        with pytest.raises(KeyboardInterrupt):
            run(davis, weights, tmp_path / "parts")
    done = sorted((tmp_path / "parts" / "records").iterdir())
    assert len(done) == 1
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "parts/masks" / done[0].stem).iterdir()}
    run(davis, weights, tmp_path / "parts")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert same(masks_of(tmp_path / "parts"), masks_of(tmp_path / "whole"))


def test_a_lost_mask_is_made_again(davis: Path, weights: Path, tmp_path: Path) -> None:
    run(davis, weights, tmp_path)
    before = masks_of(tmp_path)
    (tmp_path / next(iter(before))).unlink()
    run(davis, weights, tmp_path)
    assert same(masks_of(tmp_path), before)


def test_another_run_does_not_mix_with_old_masks(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    run(davis, weights, tmp_path)
    before = masks_of(tmp_path)
    with pytest.raises(InputError, match=r"another run \(memory: .*choose another --output"):
        run(davis, weights, tmp_path, "memory.every=3")
    assert same(masks_of(tmp_path), before)


def test_a_changed_mask_is_segmented_anew(davis: Path, weights: Path, tmp_path: Path) -> None:
    shutil.copytree(davis, tmp_path / "data")
    changed, kept = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())
    run(tmp_path / "data", weights, tmp_path / "out", overlay=True)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/masks" / kept).iterdir()}
    mask = tmp_path / "data/Annotations/480p" / changed / "00000.png"
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[8:40, 8:40] = 1
    write_label_map(mask, labels)
    stray = tmp_path / "out/masks" / changed / "99999.png"
    shutil.copy(mask, stray)
    again = run(tmp_path / "data", weights, tmp_path / "out", overlay=True)
    assert np.array_equal(read_label_map(tmp_path / "out/masks" / changed / "00000.png"), labels)
    assert not stray.exists()  # nothing of the old run mixes with the new
    assert {p: p.stat().st_mtime_ns for p in times} == times
    fresh = run(tmp_path / "data", weights, tmp_path / "fresh")
    assert again.scores is not None
    assert fresh.scores is not None
    assert again.scores.summary == fresh.scores.summary
    assert same(masks_of(tmp_path / "out"), masks_of(tmp_path / "fresh"))


def test_a_change_that_was_broken_off_and_taken_back(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old record must not vouch for masks that were partly overwritten."""
    shutil.copytree(davis, tmp_path / "data")
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    run(tmp_path / "data", weights, tmp_path / "out")
    before = masks_of(tmp_path / "out")
    mask = tmp_path / "data/Annotations/480p" / name / "00000.png"
    original = mask.read_bytes()
    write_label_map(mask, np.eye(*SIZE, dtype=np.uint8))
    with monkeypatch.context() as patch:
        patch.setattr("scmn.evaluation.runner.overlay", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "data", weights, tmp_path / "out")
    mask.write_bytes(original)
    run(tmp_path / "data", weights, tmp_path / "out")
    assert same(masks_of(tmp_path / "out"), before)


def test_another_root_is_segmented_anew(davis: Path, weights: Path, tmp_path: Path) -> None:
    settings = SyntheticSettings(size=SIZE, frames=FRAMES)
    write_davis(tmp_path / "data", sequences=2, settings=settings, seed=7)
    run(davis, weights, tmp_path / "out")
    run(tmp_path / "data", weights, tmp_path / "out")
    run(tmp_path / "data", weights, tmp_path / "fresh")
    fresh = masks_of(tmp_path / "fresh")
    assert same({name: masks_of(tmp_path / "out")[name] for name in fresh}, fresh)


def test_another_video_of_the_same_name(weights: Path, tmp_path: Path) -> None:
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[10:40, 10:40] = 1
    write_label_map(tmp_path / "first.png", labels)
    for folder, length in (("a", 5), ("b", 3)):
        (tmp_path / folder).mkdir()
        with VideoWriter(tmp_path / folder / "clip.mp4", frame_rate=10) as writer:
            for t in range(length):
                writer.write(np.full((*SIZE, 3), 20 * t + length, dtype=np.uint8))
    config = resolve_config(None, [], weights)
    results = []
    for folder in ("a", "b", "b"):
        evaluation = video_evaluation(
            tmp_path / folder / "clip.mp4",
            [tmp_path / "first.png"],
            model="scmn",
            weights=weights,
            output=tmp_path / "out",
        )
        result = evaluate(evaluation, config)
        assert result is not None
        results.append(result.records[0])
        assert len(masks_of(tmp_path / "out")) == result.records[0].frames
    assert [record.frames for record in results] == [5, 3, 3]
    assert results[1] == results[2]  # the second time it was complete


def test_another_version_does_not_mix(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(davis, weights, tmp_path)
    monkeypatch.setattr("scmn.evaluation.evaluate.__version__", "99.0")
    with pytest.raises(InputError, match=r"another run \(version: .* -> 99\.0\)"):
        run(davis, weights, tmp_path)


@pytest.mark.parametrize("length", [1, 2])
def test_a_short_sequence_does_not_cost_the_others_their_scores(
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
    scores, _ = score_folder(tmp_path / "out/masks", "davis2017-val", tmp_path / "data")
    assert scores.summary == alone.scores.summary


def test_only_short_sequences_give_masks_without_scores(
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
    with pytest.raises(InputError, match=r"cannot be scored with .*2 annotated frames"):
        score_folder(tmp_path / "out/masks", "davis2017-val", tmp_path / "data")


def test_random_weights_are_said(
    davis: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = [f"model.switches.{name}=16" for name in ("key_dim", "value_dim", "hidden_dim")]
    config = resolve_config(None, ["model.name=stcn", "model.backbone=resnet18", *small], None)
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    evaluation = dataset_evaluation(
        "davis2017-val", davis, model="stcn", sequences=[name], output=tmp_path
    )
    with caplog.at_level(logging.WARNING):
        evaluate(evaluation, config)
    assert "the network is random" in caplog.text


def test_a_folder_of_foreign_masks_is_left_alone(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="not written by eval"):
        run(davis, weights, tmp_path)


def test_scoring_the_written_masks_gives_the_same_scores(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    result = run(davis, weights, tmp_path / "run")
    assert result.scores is not None
    scores, files = score_folder(
        tmp_path / "run" / "masks", "davis2017-val", davis, output=tmp_path / "scores"
    )
    assert scores.summary == result.scores.summary
    assert all(path.parent == tmp_path / "scores" for path in files)
    csv = "per-sequence_results-val.csv"
    assert (tmp_path / "scores" / csv).read_text() == (tmp_path / "run" / csv).read_text()


def test_some_sequences_only(davis: Path, weights: Path, tmp_path: Path) -> None:
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[1]
    result = run(davis, weights, tmp_path, sequences=[name])
    assert [record.name for record in result.records] == [name]
    with pytest.raises(InputError, match="no sequence 'nonsense'"):
        run(davis, weights, tmp_path / "other", sequences=["nonsense"])


def test_test_time_augmentation(davis: Path, weights: Path, tmp_path: Path) -> None:
    settings = ("evaluation.augmentation.flip=true", "evaluation.augmentation.scales=[1.0,1.3]")
    result = run(davis, weights, tmp_path, *settings)
    assert len(masks_of(tmp_path)) == 2 * FRAMES
    assert result.scores is not None


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


def test_youtube_vos_with_an_object_that_appears_later(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    name = youtube_tree(davis, tmp_path / "data")
    config = resolve_config(None, [], weights)
    evaluation = dataset_evaluation(
        "youtube-vos-2019-val",
        tmp_path / "data",
        model="scmn",
        weights=weights,
        output=tmp_path / "out",
    )
    result = evaluate(evaluation, config)
    assert result is not None
    assert result.scores is None  # the annotations are the given ones only
    assert result.records[0].frames == FRAMES
    assert result.records[0].written == ("00000", "00002", "00004")
    masks = masks_of(tmp_path / "out")
    assert set(masks) == {f"masks/{name}/{frame}.png" for frame in ("00000", "00002", "00004")}
    given = read_label_map(tmp_path / "data/valid/Annotations" / name / "00002.png")
    late = int(given.max())
    assert late not in masks[f"masks/{name}/00000.png"]
    assert np.array_equal(masks[f"masks/{name}/00002.png"] == late, given == late)
    assert (tmp_path / "out" / "youtube-vos-2019-val.zip").is_file()


def test_folder_of_frames(davis: Path, weights: Path, tmp_path: Path) -> None:
    frames = sorted((davis / "JPEGImages/480p").iterdir())[0]
    mask = davis / "Annotations/480p" / frames.name / "00000.png"
    config = resolve_config(None, [], weights)
    evaluation = video_evaluation(frames, [mask], model="scmn", weights=weights, output=tmp_path)
    result = evaluate(evaluation, config)
    assert result is not None
    assert result.scores is None
    assert len(masks_of(tmp_path)) == FRAMES
    assert (tmp_path / "report.html").is_file()


def test_folder_of_sequences(davis: Path, weights: Path, tmp_path: Path) -> None:
    config = resolve_config(None, [], weights)
    evaluation = video_evaluation(
        davis / "JPEGImages/480p",
        [davis / "Annotations/480p"],
        model="scmn",
        weights=weights,
        output=tmp_path,
    )
    result = evaluate(evaluation, config)
    assert result is not None
    assert len(result.records) == 2


def test_disk_full_while_writing(
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
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    run(davis, weights, tmp_path)
    assert len(masks_of(tmp_path)) == 2 * FRAMES


def test_a_bad_mask_is_named_with_its_sequence_and_frame(
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


def test_too_many_objects(davis: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than max_objects=0"):
        run(davis, weights, tmp_path, "evaluation.max_objects=0")


def test_the_policy_of_memory_is_the_networks_own(tmp_path: Path) -> None:
    config = resolve_config(None, ["model.name=stcn", "memory.max_frames=4"], None)
    assert isinstance(config, Config)
    assert config.memory is not None
    assert (config.memory.keep_previous, config.memory.top_k) == (False, 20)
    assert config.memory.max_frames == 4


def test_a_model_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which model"):
        resolve_config(None, [], None)
    with pytest.raises(InputError, match="did you mean 'stcn'"):
        resolve_config(None, ["model.name=stnc"], None)
