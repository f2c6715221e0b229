"""Construction of networks: the registry's settings, and weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scmn.errors import InputError, nearest_name
from scmn.networks.backbones import BACKBONES
from scmn.networks.base import MemoryNetwork, ModelDescription
from scmn.networks.registry import MODELS
from scmn.settings import check_arguments
from scmn.weights.files import WeightsFile, load_weights, read_weights
from scmn.weights.pretrained_backbones import load_pretrained_backbones


def build_model(
    name: str,
    *,
    backbone: str | None = None,
    weights: str | Path | WeightsFile | None = None,
    pretrained_backbone: bool | str | Path = False,
    new_parts: bool = False,
    **switches: Any,
) -> MemoryNetwork:
    """Build a network in evaluation mode, on the CPU.

    Args:
        name: one of ``list_models()``.
        backbone: trunk of the encoders, a name in ``scmn.networks.backbones.BACKBONES`` (None: the
            model's default).
        weights: a file of weights or the result of ``read_weights``: a published STM or STCN file,
            or one of this package; "default": the bundled weights of this model. The network gets
            the settings that the file records, except those given by ``switches``.
        pretrained_backbone: initialise the trunks with ImageNet weights: True downloads them once,
            a path is a file of them.
        new_parts: to train them, parts that the weights were trained without, such as
            ``mask_quality``, start with initial weights; otherwise the weights do not fit.
        **switches: further arguments of the network, such as ``spatial_constraint=False``.

    Raises:
        InputError: an unknown name, backbone or switch, or weights that do not fit.
    """
    if not isinstance(name, str) or name not in MODELS:
        known = ", ".join(sorted(MODELS))
        raise InputError(f"unknown model {name!r}{nearest_name(str(name), MODELS)}; known: {known}")
    if not isinstance(pretrained_backbone, bool | str | Path):
        raise InputError(
            "pretrained_backbone must be True, False or the path of a file, "
            f"not of type {type(pretrained_backbone).__name__}"
        )
    if weights is not None and pretrained_backbone is not False:
        raise InputError("weights replace pretrained_backbone: give one of the two")
    entry = MODELS[name]
    file = weights
    if file is not None and not isinstance(file, WeightsFile):
        file = read_weights(file, model=name)
    settings = {**_recorded_settings(name, file), **switches}
    if backbone is not None:
        settings["backbone"] = backbone
    parameters = entry.network.__init__
    settings = check_arguments(parameters, settings, lambda path: f"model '{name}': {path}")
    _check_backbones(settings)
    try:
        network = entry.network(**settings)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"model '{name}' with {settings}: {error}") from error
    # With the defaults: files of this network must not change with them.
    network.description = ModelDescription(name, {**entry.setting_defaults, **settings})
    network.memory_defaults = entry.memory_defaults
    if file is not None:
        load_weights(network, file, new_parts=new_parts)
    if pretrained_backbone is not False:
        load_pretrained_backbones(
            network, None if pretrained_backbone is True else Path(pretrained_backbone)
        )
    return network.eval()


def _recorded_settings(name: str, file: WeightsFile | None) -> Mapping[str, Any]:
    """Return the settings that a file records, or else those of the registry.

    They are not mixed: the registry's may have changed since the file was written.
    """
    if file is None or file.description is None:
        return MODELS[name].settings
    if file.description.name != name:
        raise InputError(f"{file.path} holds weights of '{file.description.name}', not of '{name}'")
    return file.description.settings


def _check_backbones(settings: Mapping[str, Any]) -> None:
    for setting, value in settings.items():
        if setting.endswith("backbone") and value not in BACKBONES:
            raise InputError(
                f"unknown backbone '{value}'{nearest_name(str(value), BACKBONES)}; "
                f"known: {', '.join(BACKBONES)}"
            )
