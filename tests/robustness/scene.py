"""Good inputs, and the outputs of runs on them, in one folder for a case to damage."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from scmn import save_weights
from scmn.data.masks import write_label_map
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.data.video_writer import VideoWriter
from tests.conftest import build_small
from tests.training.runs import training_config

SIZE = (64, 96)
FRAMES = 4
SEQUENCE = "synthetic-00000"


@dataclass(frozen=True)
class Scene:
    """A folder of good inputs.

    ::

        frames/00000.jpg ...  mask.png  clip.mp4    a user's own video, twice
        davis/  youtube/  coco/                     one sequence, one video, one image
        weights.safetensors  weights.pth            of a tiny network
        tiny.yaml                                   trains it: two stages of two steps
        results/                                    of eval.py, after a complete run on frames/
        run/                                        of train.py, after a complete run
    """

    root: Path

    @property
    def frames(self) -> Path:
        return self.root / "frames"

    @property
    def mask(self) -> Path:
        return self.root / "mask.png"

    @property
    def clip(self) -> Path:
        return self.root / "clip.mp4"

    @property
    def davis(self) -> Path:
        return self.root / "davis"

    @property
    def youtube(self) -> Path:
        return self.root / "youtube"

    @property
    def coco(self) -> Path:
        return self.root / "coco"

    @property
    def weights(self) -> Path:
        return self.root / "weights.safetensors"

    @property
    def torch_weights(self) -> Path:
        return self.root / "weights.pth"

    @property
    def config(self) -> Path:
        return self.root / "tiny.yaml"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def new(self) -> Path:
        """An output that does not exist yet."""
        return self.root / "new"

    def frame(self, index: int) -> Path:
        return self.frames / f"{index:05d}.jpg"

    def davis_frame(self, index: int) -> Path:
        return self.davis / "JPEGImages/480p" / SEQUENCE / f"{index:05d}.jpg"

    def davis_mask(self, index: int) -> Path:
        return self.davis / "Annotations/480p" / SEQUENCE / f"{index:05d}.png"

    def segment(
        self, *options: object, video: Path | None = None, mask: Path | None = None
    ) -> list[object]:
        """Arguments of eval.py: the frames into ``results``, which has a complete run of them."""
        given = ["--video", video or self.frames, "--mask", mask or self.mask]
        return [*given, "--weights", self.weights, "--output", self.results, *options]

    def evaluate(self, *options: object, dataset: str = "davis2017-val") -> list[object]:
        """Arguments of eval.py: a data set into ``new``."""
        data = self.davis if dataset.startswith("davis") else self.youtube
        given = ["--dataset", dataset, "--data", data]
        return [*given, "--weights", self.weights, "--output", self.new, *options]

    def score(self, *options: object) -> list[object]:
        """Arguments of eval.py: score ``predictions``, a copy of the annotations."""
        masks = self.root / "predictions"
        if not masks.exists():
            shutil.copytree(self.davis / "Annotations/480p", masks)
        given = ["--score-only", masks, "--dataset", "davis2017-val", "--data", self.davis]
        return [*given, "--output", self.new, *options]

    def resume(self, *options: object) -> list[object]:
        """Arguments of train.py: the run in ``run`` again."""
        return ["--config", self.config, "--output", self.run, *options]

    def train(self, *options: object) -> list[object]:
        """Arguments of train.py: a run in ``new``."""
        return ["--config", self.config, "--output", self.new, *options]

    def build(self) -> None:
        """Write the inputs; the two runs are left to the caller."""
        noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        self.frames.mkdir(parents=True)
        with VideoWriter(self.clip, frame_rate=10) as video:
            for index in range(FRAMES):
                image = np.roll(noise, index, axis=1)
                Image.fromarray(image).save(self.frame(index))
                video.write(image)
        write_label_map(self.mask, two_objects())
        settings = SyntheticSettings(size=SIZE, frames=FRAMES, objects=(1, 2))
        write_davis(self.davis, sequences=1, settings=settings, split="train")
        write_davis(self.davis, sequences=1, settings=settings, split="val")
        self._build_youtube()
        self._build_coco()
        network = build_small("scmn")
        save_weights(network, self.weights)
        torch.save(network.state_dict(), self.torch_weights)
        stage = {
            "iterations": 2,
            "batch_size": 1,
            "clip": {"frames": 2, "size": [32, 32], "max_objects": 1},
        }
        config = training_config(self.davis, stage=stage, keep_checkpoints=0)
        config["evaluation"] = {"device": "cpu", "processes": 1}
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))

    def _build_youtube(self) -> None:
        split = self.youtube / "valid"
        shutil.copytree(self.frames, split / "JPEGImages/video")
        (split / "Annotations/video").mkdir(parents=True)
        shutil.copy(self.mask, split / "Annotations/video/00000.png")
        shutil.copytree(
            split / "JPEGImages", self.youtube / "all_frames/valid_all_frames/JPEGImages"
        )
        names = [f"{index:05d}" for index in range(FRAMES)]
        objects = {str(number): {"category": "x", "frames": names} for number in (1, 2)}
        (split / "meta.json").write_text(json.dumps({"videos": {"video": {"objects": objects}}}))

    def _build_coco(self) -> None:
        self.coco.mkdir()
        shutil.copy(self.frame(0), self.coco / "0.jpg")
        corners = [10, 10, 40, 10, 40, 40, 10, 40]
        content = {
            "images": [{"id": 1, "file_name": "0.jpg", "height": SIZE[0], "width": SIZE[1]}],
            "annotations": [
                {
                    "id": 1,
                    "image_id": 1,
                    "category_id": 1,
                    "segmentation": [corners],
                    "area": 900,
                    "bbox": [10, 10, 30, 30],
                    "iscrowd": 0,
                }
            ],
            "categories": [{"id": 1, "name": "square"}],
        }
        (self.coco / "instances.json").write_text(json.dumps(content))

    def restore(self, name: str, original: Path) -> None:
        """Make a file or folder of the root a copy of the one in ``original`` again."""
        path, source = self.root / name, original / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if source.is_dir():
            shutil.copytree(source, path, symlinks=True)
        elif source.exists():
            shutil.copy2(source, path)


def two_objects() -> np.ndarray:
    """A label map of the frames' size."""
    labels = np.zeros(SIZE, np.uint8)
    labels[10:40, 10:40] = 1
    labels[20:60, 50:80] = 2
    return labels
