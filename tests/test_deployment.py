"""Networks exported to ONNX, run with NumPy and ONNX Runtime."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scmn import InputError, VideoSegmenter
from scmn.deployment.resampling import resize, resize_masks
from scmn.inference.geometry import FrameGeometry
from scmn.networks.base import MemoryNetwork
from tests.conftest import REPOSITORY, build_small
from tests.programs import run_here

pytest.importorskip("onnxruntime", reason="the optional extra 'onnx' is not installed")
pytest.importorskip("onnxscript", reason="the optional extra 'onnx' is not installed")

from scmn.deployment.export import export_onnx
from scmn.deployment.segmenter import OnnxSegmenter

Exported = tuple[MemoryNetwork, Path]


@pytest.fixture(scope="module", params=["scmn_small", "stm", "stcn"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    network = build_small(request.param, temporal_embedding=request.param == "stm")
    if network.temporal_embedding is not None:
        for vectors in network.temporal_embedding.parameters():
            torch.nn.init.normal_(vectors)
    folder = tmp_path_factory.mktemp(request.param)
    export_onnx(network, folder)
    return network, folder


def clip(frames: int = 20, size: tuple[int, int] = (100, 90)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (size[0] // 10 + 4, size[1] // 10 + 4, 3), dtype=np.uint8)
    large = np.kron(base, np.ones((10, 10, 1), np.uint8))
    return [large[t : t + size[0], 2 * t : 2 * t + size[1]].copy() for t in range(frames)]


def mask(object_id: int, top: int, left: int, size: tuple[int, int] = (100, 90)) -> np.ndarray:
    labels = np.zeros(size, np.uint8)
    labels[top : top + 30, left : left + 25] = object_id
    return labels


@pytest.mark.parametrize(
    "memory",
    [
        {"absence": None},
        {"absence": None, "every": 2, "max_frames": 2},
        {"absence": {"confidence": 0.2}, "keep_previous": True, "every": 3},
    ],
)
def test_onnx_segmenter_gives_the_probabilities_of_pytorch(
    exported: Exported, memory: dict[str, object]
) -> None:
    network, folder = exported
    expected = VideoSegmenter(network, size=72, memory=memory, device="cpu")
    actual = OnnxSegmenter(folder, size=72, memory=memory, threads=1)
    given = {0: mask(3, 10, 10) + mask(8, 50, 50), 6: mask(5, 60, 5), 11: mask(8, 40, 40)}
    for index, frame in enumerate(clip()):
        if index == 14:
            expected.remove_object(3)
            actual.remove_object(3)
        wanted = expected.step(frame, given.get(index))
        found = actual.step(frame, given.get(index))
        assert found.object_ids == wanted.object_ids
        difference = np.abs(found.probabilities - wanted.probabilities.numpy()).max()
        assert difference < 1e-4, f"frame {index}"
        assert (found.labels == wanted.labels).mean() > 0.999
    assert actual.object_ids == (8, 5)


def test_onnx_segmenter_takes_other_sizes_and_starts_over(exported: Exported) -> None:
    network, folder = exported
    actual = OnnxSegmenter(folder, threads=1)
    # Two rows of positions are fewer than were traced; STCN's top-k needs 20 positions.
    for size in ((96, 160), (100, 90), (32, 176)):
        frames, labels = clip(3, size), mask(1, size[0] // 5, size[0] // 5, size)
        wanted = list(VideoSegmenter(network, device="cpu").run(frames, labels))
        for found, prediction in zip(actual.run(frames, labels), wanted, strict=True):
            assert np.abs(found.probabilities - prediction.probabilities.numpy()).max() < 1e-4
        assert np.array_equal(next(actual.run(frames, labels)).labels, labels)


def test_onnx_segmenter_refuses_wrong_input(exported: Exported, tmp_path: Path) -> None:
    _, folder = exported
    segmenter = OnnxSegmenter(folder, threads=1)
    frame = clip(1)[0]
    with pytest.raises(InputError, match=r"uint8 \(H, W, 3\)"):
        segmenter.step(frame.astype(np.float32))
    with pytest.raises(InputError, match="no objects"):
        segmenter.step(frame, np.zeros((100, 90), np.uint8))
    with pytest.raises(InputError, match="expected integers"):
        segmenter.step(frame, np.zeros((5, 5), np.uint8))
    with pytest.raises(InputError, match=r"ids 0\.\.300; 0\.\.254 and 255"):
        segmenter.step(frame, mask(1, 10, 10).astype(np.int16) * 300)
    with pytest.raises(InputError, match="frame 4, but the video has only 1 frames"):
        list(segmenter.run([frame], {0: mask(1, 10, 10), 4: mask(1, 10, 10)}))
    segmenter.reset()
    segmenter.step(frame, mask(1, 10, 10))
    with pytest.raises(InputError, match="earlier frames are 100x90"):
        segmenter.step(frame[:50])
    with pytest.raises(InputError, match="no object 2 to remove"):
        segmenter.remove_object(2)
    with pytest.raises(InputError, match="did you mean 'every'"):
        OnnxSegmenter(folder, memory={"evry": 3})
    with pytest.raises(InputError, match=r"export_onnx\.py"):
        OnnxSegmenter(tmp_path)


@pytest.mark.parametrize("change", [{"absence": "missing"}, {"gate": None}, {}])
def test_onnx_segmenter_refuses_the_export_of_another_version(
    exported: Exported, tmp_path: Path, change: dict[str, object]
) -> None:
    folder = tmp_path / "exported"
    shutil.copytree(exported[1], folder)
    path = folder / "settings.json"
    settings = json.loads(path.read_text())
    if change:
        memory = settings["memory"] | change
        settings["memory"] = {k: v for k, v in memory.items() if v != "missing"}
    else:
        del settings["top_k"]
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"settings\.json is of another version .*; export"):
        OnnxSegmenter(folder)


def test_export_script_compares_the_graphs_with_pytorch(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network, folder = exported
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    script = importlib.import_module("export_onnx")
    differences = script.compare(network, folder, (96, 128), {})
    *times, heading, plain, onnx = capsys.readouterr().out.splitlines()
    names = ["PyTorch, plain layers", "PyTorch, accelerated", "ONNX Runtime"]
    assert [line.split(":")[0] for line in times] == names
    assert heading.startswith("largest differences")
    assert [line.split(": ")[1] for line in (onnx, plain)] == [f"{x:.1e}" for x in differences]
    assert max(differences) < 1e-4


def test_export_script_reports_mistakes() -> None:
    ended = run_here("scripts/export_onnx.py", "--output", "out", "memory.eviction=usage")
    assert ended.returncode == 2
    assert "memory.eviction cannot be exported" in ended.stderr


def test_export_refuses_what_the_graphs_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_small("stcn")
    for name, value in {"eviction": "usage", "long_term": {}}.items():
        with pytest.raises(InputError, match=rf"memory\.{name} cannot be exported"):
            export_onnx(network, tmp_path, memory={name: value})
    monkeypatch.setattr("scmn.deployment.export.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'scmn\[onnx\]'"):
        export_onnx(network, tmp_path)


CLIENT = """
import sys
sys.modules["torch"] = None  # importing it fails
import numpy as np
from pathlib import Path
from scmn.deployment.segmenter import OnnxSegmenter
segmenter = OnnxSegmenter(Path(sys.argv[1]), size=80)
labels = np.zeros((96, 128), np.uint8)
labels[30:60, 30:60] = 7
for index in range(2):
    prediction = segmenter.step(np.full((96, 128, 3), 90, np.uint8), None if index else labels)
print(prediction.labels.shape, prediction.object_ids)
third = {"torch", "cv2", "PIL", "av", "yaml", "omegaconf", "safetensors"} & set(sys.modules)
print(sorted(third - {"torch"}))
"""


def test_onnx_segmenter_needs_numpy_and_onnxruntime_only(exported: Exported) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", CLIENT, str(exported[1])],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert completed.stdout == "(96, 128) (7,)\n[]\n", completed.stderr


@pytest.mark.parametrize("size", [(30, 44), (61, 90), (150, 203)])
def test_resize_is_that_of_torch(size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).random((3, 75, 101), dtype=np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[None], size, mode="bilinear", align_corners=False, antialias=True
    )[0]
    assert np.abs(resize(maps, size) - expected.numpy()).max() < 1e-5


def test_resize_masks_keeps_small_objects() -> None:
    masks = np.zeros((2, 100, 90), np.float32)
    masks[0, 20:60, 30:70] = 1
    masks[1, 41, 37] = 1
    geometry = FrameGeometry.of_frame(100, 90, shorter_side=32)
    expected = geometry.crop(geometry.network_masks(torch.from_numpy(masks)[None]))[0].numpy()
    resized = resize_masks(masks, geometry.scaled_size)
    assert np.array_equal(resized, expected)
    assert resized[1].any()
