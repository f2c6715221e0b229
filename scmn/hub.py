"""Networks as folders, on disk or on the Hugging Face Hub: weights and a model card."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from scmn.build import build_model
from scmn.data.atomic import atomic_path
from scmn.errors import InputError, in_one_line
from scmn.extras import import_optional
from scmn.networks.base import MemoryNetwork, ModelDescription
from scmn.weights.files import read_weights, save_weights

WEIGHTS = "model.safetensors"
CARD = "README.md"

_CARD = """\
---
library_name: scmn
pipeline_tag: image-segmentation
tags: [video-object-segmentation, {name}]
{license}---

# {name}

Segments the objects of a video from their masks in one frame. {parameters:.1f} million parameters.

```python
from scmn import VideoSegmenter, from_pretrained

segmenter = VideoSegmenter(from_pretrained("{source}"), size=480)
for prediction in segmenter.run(frames, first_labels):
    prediction.labels  # uint8 (H, W) with your object ids
```

{details}

| setting | value |
|---|---|
{settings}

| memory | value |
|---|---|
{memory}
"""
_UNKNOWN = "Data, training and scores are not described."


def save_pretrained(
    network: MemoryNetwork,
    folder: str | Path,
    *,
    source: str | None = None,
    license: str | None = None,
    details: str = _UNKNOWN,
) -> None:
    """Write a network as a folder that :func:`from_pretrained` reads.

    It holds ``model.safetensors``, weights and settings, and ``README.md``, a model card, which is
    not overwritten if there is one: it may have been edited.

    Args:
        network: a network from ``build_model``.
        folder: created if it is missing.
        source: what the card's example loads (None: the folder's name).
        license: of the weights, an identifier of the Hub such as "cc-by-nc-4.0".
        details: Markdown for the card: on what the network was trained, its scores, its limits.

    Raises:
        InputError: a file cannot be written.
    """
    folder = Path(folder)
    save_weights(network, folder / WEIGHTS)
    if (folder / CARD).exists():
        return
    card = _model_card(network, source or folder.resolve().name, license, details)
    with atomic_path(folder / CARD) as temporary:
        temporary.write_text(card, encoding="utf-8")


def from_pretrained(
    name_or_folder: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> MemoryNetwork:
    """Build a network in evaluation mode from a folder or from the Hub.

    Args:
        name_or_folder: a folder that :func:`save_pretrained` wrote, or a repository of the Hub,
            "user/name", which is downloaded once (extra ``hub``).
        revision: branch, tag or commit of the repository (None: its main branch).
        token: for private repositories (None: that of ``hf auth login``).
        cache_dir: where downloads are kept (None: the Hub's own cache).
        local_files_only: only look in the cache.

    Raises:
        InputError: the folder or repository does not exist or holds no network of this package.
    """
    folder = Path(name_or_folder)
    if folder.is_dir():
        path = folder / WEIGHTS
    else:
        hub = _hub()
        try:
            path = Path(
                hub.hf_hub_download(
                    str(name_or_folder),
                    WEIGHTS,
                    revision=revision,
                    token=token,
                    cache_dir=cache_dir,
                    local_files_only=local_files_only,
                )
            )
        except _failures() as error:
            raise InputError(
                f"'{name_or_folder}' is neither a folder nor a network on the Hub: "
                f"{in_one_line(error)}"
            ) from error
    file = read_weights(path)
    if file.description is None:
        raise InputError(f"{path} does not name its model: use build_model with weights={path}")
    return build_model(file.description.name, weights=file)


def push_to_hub(
    network: MemoryNetwork,
    repository: str,
    *,
    license: str | None = None,
    details: str = _UNKNOWN,
    private: bool = False,
    token: str | bool | None = None,
) -> str:
    """Upload a network as :func:`save_pretrained` writes it; return the address of the commit.

    Args:
        network: a network from ``build_model``.
        repository: "user/name"; created if it is missing. A model card that is there stays.
        license: as for :func:`save_pretrained`.
        details: as for :func:`save_pretrained`.
        private: whether a new repository is private.
        token: with the right to write (None: that of ``hf auth login``).

    Raises:
        InputError: the Hub refuses it, or cannot be reached.
    """
    api = _hub().HfApi(token=token)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            save_pretrained(network, folder, source=repository, license=license, details=details)
            there = api.file_exists(repository, CARD)
            return str(
                api.upload_folder(
                    repo_id=repository,
                    folder_path=folder,
                    ignore_patterns=[CARD] if there else None,
                    commit_message=f"Upload {_description(network).name}",
                )
            )
    except _failures() as error:
        raise InputError(f"cannot upload to '{repository}': {in_one_line(error)}") from error


def _model_card(network: MemoryNetwork, source: str, license: str | None, details: str) -> str:
    described = _description(network)
    return _CARD.format(
        name=described.name,
        license="" if license is None else f"license: {license}\n",
        parameters=sum(weights.numel() for weights in network.parameters()) / 1e6,
        source=source,
        details=details,
        settings=_rows(described.settings),
        memory=_rows(network.memory_defaults),
    )


def _rows(values: Mapping[str, Any]) -> str:
    return "\n".join(f"| `{name}` | {value} |" for name, value in values.items())


def _description(network: MemoryNetwork) -> ModelDescription:
    if network.description is None:
        raise ValueError("the network has no description: build it with build_model")
    return network.description


def _hub() -> ModuleType:
    return import_optional("huggingface_hub", need="the Hub needs huggingface_hub", extra="hub")


def _failures() -> tuple[type[Exception], ...]:
    """Return the exceptions of the Hub's client and of the HTTP library that it is built on."""
    own: type[Exception] = import_module("huggingface_hub.errors").HfHubHTTPError
    return (OSError, ValueError, *own.__bases__)
