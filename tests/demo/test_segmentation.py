from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from scmn import InputError, VideoSegmenter, build_model, save_weights
from scmn.demo.footage import Limits, Upload
from scmn.demo.project import Project
from scmn.demo.segmentation import BUNDLED, Networks, Run, Settings
from scmn.demo.session import Server, Session
from tests.conftest import build_small
from tests.demo.projects import make_project, square, write_video

NETWORKS = Networks()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def segment(project: Project, start: int, direction: str = "forward", **settings: object) -> Run:
    run = Run(
        project,
        NETWORKS,
        Settings(size=None, **settings),
        device="cpu",
        start=start,
        direction=direction,
    )
    run.wait()
    assert run.error is None
    return run


def api_segmenter(**settings: object) -> VideoSegmenter:
    return VideoSegmenter(build_model("scmn_small", weights="default"), **settings)


def test_files_of_one_name_are_both_offered(tmp_path: Path) -> None:
    files = [tmp_path / folder / "best.safetensors" for folder in "ab"]
    for file in files:
        file.parent.mkdir()
        save_weights(build_small("stcn"), file)
    names = Networks(files).names
    assert names == [BUNDLED, "stcn (best.safetensors)", f"stcn ({files[1]})"]


def test_run_gives_what_the_api_gives(project: Project) -> None:
    project.draw(0, 1, square(project, 20, 30))
    given = project.labels(0)
    run = segment(project, 0)
    images = [project.footage.image(index) for index in range(8)]
    for index, prediction in enumerate(api_segmenter().run(images, given)):
        np.testing.assert_array_equal(project.labels(index), prediction.labels)
        confidence = project.masks[index].confidence
        assert confidence.get(1, 0) == pytest.approx(float(prediction.confidence[0]))
    assert (run.progress.done, run.progress.total, run.progress.frame) == (8, 8, 7)


def test_correction_is_remembered_with_the_first_mask(project: Project) -> None:
    project.draw(0, 1, square(project, 20, 30))
    segment(project, 0)
    before = [project.labels(index) for index in range(4)]
    project.draw(4, 1, square(project, 25, 40))
    first, corrected = project.labels(0), project.labels(4)
    segment(project, 4)
    for index, labels in enumerate(before):
        np.testing.assert_array_equal(project.labels(index), labels)
    segmenter = api_segmenter()
    segmenter.step(project.footage.image(0), first)
    segmenter.step(project.footage.image(4), corrected, objects=[1])
    np.testing.assert_array_equal(project.labels(4), corrected)
    for index in range(5, 8):
        expected = segmenter.step(project.footage.image(index)).labels
        np.testing.assert_array_equal(project.labels(index), expected)


def test_backward_run_is_the_reversed_video(project: Project) -> None:
    project.draw(5, 1, square(project, 20, 30))
    given = project.labels(5)
    segment(project, 5, "backward")
    assert sorted(project.masks) == [0, 1, 2, 3, 4, 5]
    images = [project.footage.image(index) for index in range(5, -1, -1)]
    for index, prediction in zip(range(5, -1, -1), api_segmenter().run(images, given), strict=True):
        np.testing.assert_array_equal(project.labels(index), prediction.labels)


def test_masks_that_a_run_meets_stay(project: Project) -> None:
    project.draw(0, 1, square(project, 20, 30))
    project.add_object()
    project.draw(3, 2, square(project, 60, 100))
    segment(project, 0)
    assert (project.labels(3) == 2).sum() == 400
    assert project.masks[3].given == {2}
    assert 2 not in project.masks[2].areas


def test_erased_object_is_hidden(project: Project) -> None:
    project.add_object()
    project.draw(0, 1, square(project, 20, 30))
    project.draw(0, 2, square(project, 60, 100))
    segment(project, 0)
    everything = np.ones(project.footage.size, bool)
    project.draw(2, 1, everything, erase=True)
    segment(project, 2)
    assert 1 not in project.masks[2].areas
    assert 1 in project.masks[2].given


def test_run_is_one_step_of_the_history(project: Project) -> None:
    project.draw(0, 1, square(project, 20, 30))
    before = project.masks
    segment(project, 0)
    project.undo()
    assert project.masks == before


def test_run_from_a_predicted_frame_confirms_it(project: Project) -> None:
    project.draw(0, 1, square(project, 20, 30))
    segment(project, 0)
    segment(project, 3)
    assert project.given_frames == [0, 3]


def test_run_without_a_mask_is_refused(project: Project) -> None:
    project.draw(0, 1, square(project, 20, 30))
    with pytest.raises(InputError, match="frame 2 has no mask: draw one there first"):
        segment(project, 2)
    assert list(project.masks) == [0]
    project.undo()
    assert not project.masks  # the refused run is no step


def test_cancelled_run_keeps_what_is_done(project: Project) -> None:
    project.draw(0, 1, square(project, 20, 30))
    run = Run(project, NETWORKS, Settings(), device="cpu", start=0, direction="forward")
    while run.progress.done == 0 and not run.finished:
        time.sleep(0.001)
    run.cancel()
    run.wait()
    assert run.finished
    assert len(project.masks) == run.progress.done < 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "other"}, "unknown network 'other'"),
        ({"precision": "fp16"}, "needs a GPU"),
        ({"memory": {"every": 0}}, "memory.every must be"),
    ],
)
def test_wrong_setting_is_refused(project: Project, settings: dict, message: str) -> None:
    project.draw(0, 1, square(project, 20, 30))
    with pytest.raises(InputError, match=message):
        segment(project, 0, **settings)


def test_settings_reach_the_segmenter(project: Project) -> None:
    project.draw(0, 1, square(project, 20, 30))
    given = project.labels(0)
    run = Run(
        project,
        NETWORKS,
        Settings(size=64, precision="bf16", memory={"every": 1}),
        device="cpu",
        start=0,
        direction="forward",
    )
    run.wait()
    images = [project.footage.image(index) for index in range(8)]
    segmenter = api_segmenter(size=64, precision="bf16", memory={"every": 1})
    for index, prediction in enumerate(segmenter.run(images, given)):
        np.testing.assert_array_equal(project.labels(index), prediction.labels)


def test_weights_of_the_command_line_are_offered(tmp_path: Path) -> None:
    network = build_small("stcn")
    save_weights(network, tmp_path / "mine.safetensors")
    networks = Networks([tmp_path / "mine.safetensors"])
    assert networks.names == [BUNDLED, "stcn (mine.safetensors)"]
    built = networks.build("stcn (mine.safetensors)")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(built.state_dict()[name], value)


def test_weights_without_a_model_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="does not name its model"):
        Networks([tmp_path / "a.pth"])


def test_session_leaves_nothing_behind(tmp_path: Path) -> None:
    session = Session(Server(tmp_path, NETWORKS, "cpu", Limits()))
    project = session.open_sample()
    project.draw(0, 1, square(project, 80, 80, 60))
    run = session.segment(Settings(), start=0, direction="forward")
    with pytest.raises(InputError, match="running already"):
        session.segment(Settings(), start=0, direction="forward")
    with pytest.raises(InputError, match="cancel it first"):
        session.open_sample()
    session.close()
    assert run.finished
    assert list(tmp_path.iterdir()) == []


def test_upload_that_ends_after_its_tab_leaves_nothing(tmp_path: Path) -> None:
    session = Session(Server(tmp_path, NETWORKS, "cpu", Limits()))
    session.close()
    path = write_video(session.folder / "upload")  # what arrived late
    session.open_uploads([Upload(path, "clip.mp4")])
    assert list(tmp_path.iterdir()) == []
