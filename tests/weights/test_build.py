"""The constructor of models, and pretrained backbones from a local file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from scmn import InputError, build_model, list_models
from scmn.networks.backbones import BACKBONES
from scmn.weights.pretrained_backbones import PRETRAINED_BACKBONES
from tests.conftest import REPOSITORY, SMALL, build_small


def test_list_models() -> None:
    assert list_models() == ["scmn", "scmn_small", "scmn_tiny", "stcn", "stm"]


def test_build_model_is_in_evaluation_mode_and_described() -> None:
    model = build_small("scmn", head=False)
    assert not model.training
    assert model.description is not None
    assert model.description.name == "scmn"
    assert model.description.settings["head"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "smt"}, "did you mean 'stm'"),
        ({"name": 3}, "unknown model 3; known: scmn, "),
        ({"name": ["stm"]}, "did you mean 'stm'"),
        ({"name": "stm", "weights": {"w": torch.ones(3, 3)}}, "path of a file, not of type dict"),
        ({"name": "stm", "weights": REPOSITORY}, "weights must be a file, but .* is a folder"),
        ({"name": "stm", "pretrained_backbone": None}, "path of a file, not of type NoneType"),
        ({"name": "scmn", "spatial_constrain": False}, "did you mean 'spatial_constraint'"),
        ({"name": "stm", "refinement": False}, "model 'stm': refinement: no such setting"),
        ({"name": "stm", "backbone": "resnet-50"}, "did you mean 'resnet50'"),
        ({"name": "stcn", "value_backbone": "resnet19"}, "did you mean 'resnet18'"),
        ({"name": "stm", "key_dim": -4}, "key_dim must be greater than 0, not -4"),
        ({"name": "stm", "value_dim": "abc"}, "value_dim must be a valid integer, not 'abc'"),
        ({"name": "stm", "weights": "x.pth", "pretrained_backbone": True}, "one of the two"),
    ],
)
def test_build_model_reports_mistakes_in_one_line(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build_model(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.fixture
def served_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, torch.Tensor]]:
    """Offer weights of the small backbone at a file:// address, with an empty cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    torch.manual_seed(5)
    state = BACKBONES[SMALL["backbone"]].build().state_dict()
    torch.save(state, tmp_path / "file.pth")
    digest = hashlib.sha256((tmp_path / "file.pth").read_bytes()).hexdigest()
    path = (tmp_path / "file.pth").rename(tmp_path / f"backbone-{digest[:8]}.pth")
    monkeypatch.setitem(PRETRAINED_BACKBONES, SMALL["backbone"], path.as_uri())
    return path, state


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_pretrained_backbone(
    name: str, served_backbone: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path, state = served_backbone
    model = build_small(name, pretrained_backbone=True)
    for encoder in (model.query_encoder, model.memory_encoder):
        for tensor_name, tensor in encoder.trunk.state_dict().items():  # type: ignore[union-attr]
            assert torch.equal(tensor, state[tensor_name]), tensor_name
    assert (tmp_path / "hub" / "hub" / "checkpoints" / path.name).is_file()
    path.unlink()  # a second time the cached file serves
    build_small(name, pretrained_backbone=True)


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet18"])
def test_pretrained_backbone_from_a_file(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = BACKBONES[backbone].build().state_dict()
    torch.save(state, tmp_path / "backbone.pth")
    model = build_small("scmn", backbone=backbone, pretrained_backbone=tmp_path / "backbone.pth")
    for encoder in (model.query_encoder, model.memory_encoder):
        for tensor_name, tensor in encoder.trunk.state_dict().items():
            assert torch.equal(tensor, state[tensor_name]), tensor_name
    old = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    torch.save(old, tmp_path / "old.pth")
    build_small("scmn", backbone=backbone, pretrained_backbone=tmp_path / "old.pth")


def test_pretrained_backbone_reports_a_wrong_file(tmp_path: Path) -> None:
    file = tmp_path / "backbone.pth"
    with pytest.raises(InputError, match=r"pretrained weights not found: .*backbone\.pth"):
        build_small("stm", pretrained_backbone=file)
    file.write_text("no weights")
    with pytest.raises(InputError, match="is not a file of weights"):
        build_small("stm", pretrained_backbone=str(file))
    torch.save(BACKBONES["resnet18"].build().state_dict(), file)
    with pytest.raises(InputError, match=r"does not hold weights of 'resnet50': .*layer1\.0"):
        build_small("stm", backbone="resnet50", pretrained_backbone=file)


def test_pretrained_backbone_with_a_wrong_hash(
    served_backbone: tuple[Path, dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = served_backbone
    wrong = path.rename(path.with_name("backbone-00000000.pth"))
    monkeypatch.setitem(PRETRAINED_BACKBONES, SMALL["backbone"], wrong.as_uri())
    with pytest.raises(InputError, match="hash"):
        build_small("stm", pretrained_backbone=True)


def test_pretrained_backbone_damaged_in_the_cache(
    served_backbone: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path, _ = served_backbone
    cached = tmp_path / "hub" / "hub" / "checkpoints" / path.name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match="is damaged"):
        build_small("stm", pretrained_backbone=True)


def test_pretrained_backbone_that_cannot_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    absent = (tmp_path / "backbone-12345678.pth").as_uri()
    monkeypatch.setitem(PRETRAINED_BACKBONES, SMALL["backbone"], absent)
    with pytest.raises(InputError, match=r"cannot download .*backbone-12345678.*by hand"):
        build_small("stm", pretrained_backbone=True)
    with pytest.raises(InputError, match="no pretrained weights for backbone 'resnest14'"):
        build_small("stm", backbone="resnest14", pretrained_backbone=True)


def test_resnest_address_is_its_authors_release() -> None:
    address = PRETRAINED_BACKBONES["resnest50"]
    assert address.startswith("https://github.com/zhanghang1989/ResNeSt/releases/download/")
    assert address.endswith("resnest50-528c19ca.pth")
