"""Networks as folders and on the Hugging Face Hub."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from scmn import InputError, build_model, from_pretrained, push_to_hub, save_pretrained
from scmn.networks.base import MemoryNetwork
from tests.conftest import build_small


def same(first: MemoryNetwork, second: MemoryNetwork) -> bool:
    own, other = first.state_dict(), second.state_dict()
    return own.keys() == other.keys() and all(torch.equal(own[k], other[k]) for k in own)


def test_a_saved_network_is_read_back(small_model: MemoryNetwork, tmp_path: Path) -> None:
    save_pretrained(small_model, tmp_path / "net")
    network = from_pretrained(tmp_path / "net")
    assert same(network, small_model)
    assert network.description == small_model.description
    assert network.memory_defaults == small_model.memory_defaults
    assert not network.training


def test_the_model_card_describes_the_network_and_is_kept(tmp_path: Path) -> None:
    network = build_model("scmn_small", weights="default")
    save_pretrained(network, tmp_path, source="me/net", license="cc-by-nc-4.0", details="J 82.1.")
    card = (tmp_path / "README.md").read_text()
    _, header, body = card.split("---\n", maxsplit=2)
    assert yaml.safe_load(header) == {
        "library_name": "scmn",
        "pipeline_tag": "image-segmentation",
        "tags": ["video-object-segmentation", "scmn_small"],
        "license": "cc-by-nc-4.0",
    }
    for part in ("2.8 million", 'from_pretrained("me/net")', "J 82.1.", "| `key_dim` | 64 |"):
        assert part in body
    (tmp_path / "README.md").write_text("edited")
    save_pretrained(network, tmp_path)
    assert (tmp_path / "README.md").read_text() == "edited"


class FakeHub:
    """Repositories as folders, in the place of the Hub."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def hf_hub_download(self, repository: str, name: str, **options: Any) -> str:
        path = self.root / repository / name
        if not path.is_file():
            raise OSError(f"404 Client Error. Repository Not Found for {repository}\n(Request ID)")
        return str(path)

    def HfApi(self, token: Any) -> FakeHub:
        return self

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> None:
        if "/" not in repository:
            raise ValueError("401 Unauthorized")
        (self.root / repository).mkdir(parents=True, exist_ok=exist_ok)

    def file_exists(self, repository: str, name: str) -> bool:
        return (self.root / repository / name).is_file()

    def upload_folder(
        self, *, repo_id: str, folder_path: str, ignore_patterns: Any, commit_message: str
    ) -> str:
        for path in Path(folder_path).iterdir():
            if path.name not in (ignore_patterns or []):
                shutil.copy(path, self.root / repo_id / path.name)
        return f"https://huggingface.co/{repo_id}/commit/1"


def test_a_pushed_network_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scmn.hub._hub", lambda: FakeHub(tmp_path))
    network = build_small("stcn")
    assert push_to_hub(network, "me/net").endswith("me/net/commit/1")
    card = tmp_path / "me/net/README.md"
    assert 'from_pretrained("me/net")' in card.read_text()
    card.write_text("edited on the Hub")
    push_to_hub(network, "me/net")
    assert card.read_text() == "edited on the Hub"
    assert same(from_pretrained("me/net"), network)
    with pytest.raises(InputError, match="cannot upload to 'net': 401 Unauthorized"):
        push_to_hub(network, "net")
    with pytest.raises(InputError, match=r"'me/other' is neither a folder nor .* Not Found for"):
        from_pretrained("me/other")


def test_the_real_client_reports_what_is_not_cached(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="the optional extra 'hub' is not installed")
    for name in ("me/net", "no//name"):
        with pytest.raises(InputError, match=f"'{name}' is neither a folder nor"):
            from_pretrained(name, cache_dir=tmp_path, local_files_only=True)


def test_the_real_client_reports_that_the_hub_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    constants = pytest.importorskip(
        "huggingface_hub.constants", reason="the extra 'hub' is not installed"
    )
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot upload to 'me/net'"):
        push_to_hub(build_small("stcn"), "me/net", token="hf_none")


def test_from_pretrained_refuses_a_folder_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"model\.safetensors"):
        from_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'scmn\[hub\]'"):
        from_pretrained("me/net")
