"""Image strips of training clips for TensorBoard."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from scmn.data.clips.batch import ClipBatch
from scmn.networks.features import Segmentation
from scmn.visualization import contact_sheet, heat_map, overlay


def clip_strip(batch: ClipBatch, segmentations: list[Segmentation]) -> np.ndarray:
    """Return the first clip of a batch as a picture, uint8 (H, W, 3).

    Upper row: the first frame with its given mask, then every frame under its prediction. Lower
    row: the same frames under their targets. With SCMN a third row shows the spatial prior of the
    first object.
    """
    images = [_image(frame) for frame in batch.frames[0]]
    targets = [labels.cpu().numpy() for labels in batch.label_maps[0]]
    predicted = [
        segmentation.probabilities[0].argmax(dim=0).cpu().numpy().astype(np.uint8)
        for segmentation in segmentations
    ]
    rows = [overlay(i, p) for i, p in zip(images, [targets[0], *predicted], strict=True)]
    rows += [overlay(i, t) for i, t in zip(images, targets, strict=True)]
    priors = [segmentation.auxiliary.spatial_prior for segmentation in segmentations]
    if all(prior is not None for prior in priors):
        rows.append(images[0])
        for image, prior in zip(images[1:], priors, strict=True):
            assert prior is not None
            field = prior[0, 0, 0].detach().float().nan_to_num().cpu().numpy()
            rows.append(heat_map(image, field))
    return contact_sheet(rows, columns=len(images))


def _image(frame: Tensor) -> np.ndarray:
    return np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy())
