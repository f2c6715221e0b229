"""The bundled weights: they are found, small, and segment."""

from __future__ import annotations

import numpy as np
import pytest

from scmn import InputError, VideoSegmenter, build_model
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.evaluation.metrics import region_similarity
from scmn.weights.files import read_weights

FRAMES = 16
LARGEST_BYTES = 20 * 2**20


def test_bundled_weights_tell_two_synthetic_objects_apart() -> None:
    settings = SyntheticSettings(
        size=(240, 432), frames=FRAMES, objects=(2, 2), distractors=(1, 1), minimum_area=0.03
    )
    images, label_maps = zip(
        *(SyntheticSequence(settings, 1, 8).frame(t) for t in range(FRAMES)), strict=True
    )
    segmenter = VideoSegmenter(build_model("scmn_small", weights="default"))
    predictions = list(segmenter.run(images, label_maps[0]))
    scores = [
        region_similarity(predicted.labels == object_id, labels == object_id)
        for predicted, labels in zip(predictions[1:], label_maps[1:], strict=True)
        for object_id in (1, 2)
    ]
    # The network without pretrained encoders, whose weights were bundled before, had 0.44.
    assert np.mean(scores) > 0.7


def test_bundled_weights_keep_the_choices_they_were_trained_with() -> None:
    description = build_model("scmn_small", weights="default").description
    assert description == build_model("scmn_small").description


def test_bundled_weights_are_small_and_name_their_model() -> None:
    assert read_weights("default").path.stat().st_size < LARGEST_BYTES
    with pytest.raises(InputError, match="no weights of 'stm' are bundled, only of scmn"):
        build_model("stm", weights="default")
