"""Options, overrides and configuration files that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tests.robustness.campaign import Case, cases
from tests.robustness.scene import Scene

Damage = Callable[[Scene], list[object]]


def given(*arguments: object) -> Damage:
    return lambda scene: list(arguments)


def segment(*options: object) -> Damage:
    return lambda scene: scene.segment(*options)


def box(*corners: int) -> Damage:
    """Give a box instead of a mask."""
    return lambda scene: [*without("--mask", Scene.segment)(scene), "--box", *corners]


def evaluate(*options: object, **settings: str) -> Damage:
    return lambda scene: scene.evaluate(*options, **settings)


def score(*options: object) -> Damage:
    return lambda scene: scene.score(*options)


def without(option: str, arguments: Callable[[Scene], list[object]]) -> Damage:
    """Leave an option and its value out."""

    def damage(scene: Scene) -> list[object]:
        complete = arguments(scene)
        place = complete.index(option)
        return complete[:place] + complete[place + 2 :]

    return damage


EVALUATION = [
    Case("nothing to segment", given("--weights", "default"), "nothing to segment"),
    Case("video without mask", without("--mask", Scene.segment), "given together"),
    Case("mask without video", without("--video", Scene.segment), "nothing to segment"),
    Case("data set without folder", without("--data", Scene.evaluate), "given together"),
    Case("folder without data set", without("--dataset", Scene.evaluate), "nothing to segment"),
    Case("video and data set", lambda s: [*s.segment(), *s.evaluate()], "cannot be combined"),
    Case("sequence of a video", segment("--sequence", "a"), "combined with --video"),
    Case("mask and box", segment("--box", 1, 1, 9, 9), "--mask cannot be combined with --box"),
    Case("box outside the frame", box(0, 0, 99, 9), "not inside the frame of 96x64"),
    Case("unknown export", segment("--export", "rgb"), "did you mean 'rgba'"),
    Case("ids without mask", evaluate("--mask-ids"), "--mask-ids needs --mask"),
    Case("unknown option", segment("--evry", 3), "--evry"),
    Case("option without value", segment("--size"), "--size"),
    Case("size that is no number", segment("--size", "large"), "large"),
    Case("fraction as size", segment("--size", "1.5"), r"1\.5"),
    Case("negative size", segment("--size", -1), "size"),
    Case("absurd size", segment("--size", 10**12, "evaluation.upscale=true"), "size|memory"),
    Case("precision", segment("--precision", "fp8"), "fp8"),
    Case("no weights of a model", evaluate("--config", "stm", "--weights", "default"), "bundled"),
    Case("weights of another model", segment("model.name=stm"), "'scmn', not of 'stm'"),
    Case("unknown model", segment("model.name=smc"), "unknown model 'smc'"),
    Case("unknown data set", evaluate(dataset="davis2017val"), "did you mean 'davis2017-val'"),
    Case("unknown split", evaluate(dataset="davis2017-vla"), r"available splits: train, val"),
    Case("unknown sequence", evaluate("--sequence", "bear"), "no sequence 'bear'"),
    Case("data set of another layout", evaluate(dataset="youtube-vos-2019-trian"), "did you mean"),
    Case("split of another layout", evaluate(dataset="mose-train"), "expected"),
    Case("weights to score", score("--weights", "default"), "--weights cannot be combined"),
    Case("config to score", score("--config", "stm"), "--config cannot be combined"),
    Case("overlay to score", score("--overlay"), "--overlay cannot be combined"),
    Case("size to score", score("--size", 0), "--size cannot be combined"),
    Case("device to score", score("--device", "cpu"), "--device cannot be combined"),
    Case("video to score", score("--video", "a", "--mask", "b"), "cannot be combined"),
    Case("no masks to score", score("--score-only", "/none"), "not found: /none"),
    Case("scores without data set", given("--score-only", "/none"), "needs annotations"),
    Case("line break in a name", segment("--video", "no\nsuch.mp4"), r"no\\nsuch\.mp4"),
    Case("escape in a name", segment("--video", "\x1b[31mred"), r"\\x1b\[31mred"),
    Case("empty name of a video", segment("--video", ""), "neither|does not exist"),
    Case("long name of a video", segment("--video", "a" * 300), "aaa"),
    Case("long name of a mask", segment("--mask", "a" * 300), "aaa"),
    Case("long name of weights", segment("--weights", "a" * 300), "aaa"),
    Case("weights in a file", lambda s: s.segment("--weights", s.mask / "w.pth"), "not found"),
    Case("data in a file", lambda s: s.evaluate("--data", s.mask), "does not exist"),
]
DEVICES = [
    Case(f"device {name or 'empty'}", segment(f"evaluation.device={name}"), name or "device")
    for name in ("xpu", "meta", "banana", "cuda:-1", "cuda:x", "cpu:99", "", "hpu", "vulkan")
]
NO_GPU = [
    Case("no GPU", segment("--device", "cuda"), "no CUDA"),
    Case("no second GPU", segment("--device", "cuda:7"), "cuda:7|no CUDA"),
]


def config(content: str | bytes) -> Damage:
    """Train with another configuration file."""

    def damage(scene: Scene) -> list[object]:
        if isinstance(content, bytes):
            scene.config.write_bytes(content)
        else:
            scene.config.write_text(content)
        return scene.train()

    return damage


def train(*options: object) -> Damage:
    return lambda scene: scene.train(*options)


TRAINING = [
    Case("no config", given("--output", "/none"), "--config"),
    Case("unknown config", given("--config", "quickstrat"), "did you mean 'quickstart'"),
    Case("config that is a folder", lambda s: ["--config", s.frames], "not found"),
    Case("config without stages", config("model: {name: stm}"), "no training.stages"),
    Case("empty config", config(""), "no training.stages"),
    Case("unclosed bracket", config("a: [1,"), "not valid YAML"),
    Case("tab in YAML", config("a:\n\tb: 1"), "not valid YAML"),
    Case("list as config", config("- 1\n- 2"), "key: value"),
    Case("number as config", config("3"), "key: value|not valid YAML"),
    Case("object in YAML", config("a: !!python/object/apply:os.system [ls]"), "not valid YAML"),
    Case("key twice", config("memory: {every: 3, every: 4}"), "duplicate"),
    Case("Latin-1 config", config("# caf\xe9".encode("latin-1")), "not valid YAML"),
    Case("unknown block", config("modle: {name: stm}"), "did you mean 'model'"),
    Case("unknown key", config("training: {sed: 1}"), "did you mean 'seed'"),
    Case("unknown key in a stage", train("training.stages.main.clip.frmes=3"), "'frames'"),
    Case("block that is a number", config("model: 3"), "model"),
    Case("stage that is a number", config("training: {stages: {main: 3}}"), "main"),
    Case("stages that are a list", config("training: {stages: [1]}"), "stages"),
    Case("base that is missing", config("base: none.yaml"), r"not found: .*none\.yaml"),
    Case("base of itself", config("base: tiny.yaml"), "comes back"),
    Case("base that is a list", config("base: [a.yaml]"), "base|not found"),
    Case("unknown interpolation", train("training.seed=${nothing}"), "nothing"),
    Case("interpolation of itself", train("training.seed=${training.seed}"), "seed"),
    Case("unknown resolver", train("training.seed=${oc.nothing:A}"), "nothing"),
    Case("missing variable", train("training.seed=${oc.env:NO_SUCH_VARIABLE}"), "NO_SUCH"),
    Case("missing value", train("training.seed=???"), "seed"),
    Case("override without value", train("training.seed"), "key=value"),
    Case("override without key", train("=3"), "override"),
    Case("override of a list", train("training.seed=[1"), "override"),
    Case("override in a number", train("training.seed.x=3"), "seed"),
    Case("unknown override", train("training.sede=3"), "did you mean 'seed'"),
    Case("unknown stage", train("--stage", "mian"), "did you mean 'main'"),
    Case("no checkpoint", train("--resume", "/none.pt"), "not found"),
    Case("weights as checkpoint", lambda s: s.train("--resume", s.torch_weights), "not a training"),
    Case("no weights to start from", train("--weights", "/none.pth"), "not found"),
    Case("unknown device", train("training.device=xpu"), "xpu"),
    Case("meta device", train("training.device=meta"), "meta"),
    Case("backbone twice", train("model.switches.backbone=resnet18"), "'backbone' is no switch"),
    Case("name in switches", train("model.switches.name=stm"), "'name' is no switch"),
    Case("weights in switches", train("model.switches.weights=default"), "'weights' is no switch"),
    Case("huge seed", train(f"training.seed={2**70}"), "seed"),
    Case(
        "absurd batch",
        train("training.stages.main.batch_size=1000000000000"),
        "main|memory",
        writes=("new/*",),
    ),
    Case(
        "absurd repeat",
        train(f"training.stages.main.data.videos.repeat={10**18}"),
        "repeat|mem",
        writes=("new/*",),
    ),
    Case("absurd crop", train("training.stages.main.clip.size=[1600000,1600000]"), "size|memory"),
    Case("absurd number of frames", train("training.stages.main.clip.frames=100000000"), "frames"),
    Case("absurd memory keys", train(f"model.switches.key_dim={10**10}"), "key_dim|memory"),
    Case("option of eval.py", train("--overlay"), "--overlay"),
]


@cases(*EVALUATION, *DEVICES)
def test_options_of_an_evaluation(
    case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(scene, capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
@cases(*NO_GPU)
def test_devices_that_are_not_there(
    case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(scene, capsys)


@cases(*(replace(case, program="train") for case in TRAINING))
def test_options_of_a_training(
    case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(scene, capsys)
