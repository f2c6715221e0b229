"""Folders of still images with masks -> lists of images: the layouts of the usual data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scmn.data.clips.static_images import StaticImage
from scmn.data.images import by_stem, is_image_name, natural_order
from scmn.data.layout import require_folder
from scmn.errors import InputError, nearest_name

LAYOUT = (
    "images/1.jpg with masks/1.png (or ground_truth_mask/1.png, ECSSD), 1.jpg with 1.png in one "
    "folder or in a folder per class (FSS-1000), DUTS-TR-Image/1.jpg with DUTS-TR-Mask/1.png, or "
    "1_im.jpg with 1_gt.png (BIG, HRSOD)"
)
_MASK_FOLDERS = ("masks", "ground_truth_mask")
_IMAGE_ENDING, _MASK_ENDING = "_im", "_gt"
_JPEG = (".jpg", ".jpeg")


def static_images(root: Path, *, split_objects: bool = False) -> tuple[StaticImage, ...]:
    """Return the images in ``root`` that have masks, in natural order of their names.

    The layout is detected: two folders (``images`` and ``masks``, ECSSD's ``ground_truth_mask``,
    DUTS's ``*-Image`` and ``*-Mask``), JPEGs with PNGs side by side, in one folder or in a folder
    for each class (FSS-1000), or the endings ``_im`` and ``_gt`` (BIG, HRSOD).

    With ``split_objects`` masks hold classes, whose connected parts are the objects (PASCAL VOC).

    Raises:
        InputError: the folder is missing, has none of these layouts, or holds an image without a
            mask or a mask without an image.
    """
    images = _labelled_images(root)
    return (
        tuple(replace(image, split_objects=True) for image in images) if split_objects else images
    )


def _labelled_images(root: Path) -> tuple[StaticImage, ...]:
    require_folder(root, LAYOUT)
    folders = _two_folders(root)
    if folders is not None:
        files = [by_stem(_image_files(folder)) for folder in folders]
        return _matched(files[0], files[1], *folders)
    classes = sorted(
        (path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")),
        key=lambda path: natural_order(path.name),
    )
    images = [image for folder in (root, *classes) for image in _side_by_side(folder)]
    if not images:
        raise InputError(f"{root} holds no image with a mask; expected {LAYOUT}")
    return tuple(images)


def _two_folders(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and of masks, if ``root`` has them."""
    images = root / "images"
    if images.is_dir():
        for name in _MASK_FOLDERS:
            if (root / name).is_dir():
                return images, root / name
        raise InputError(f"{root} has images/ but no masks/; expected {LAYOUT}")
    pairs = [
        (folder, masks)
        for folder in sorted(root.glob("*-Image"))
        if (masks := root / f"{folder.name.removesuffix('-Image')}-Mask").is_dir()
    ]
    if len(pairs) > 1:
        names = ", ".join(folder.name for folder, _ in pairs)
        raise InputError(f"{root} has several folders of images: {names}; expected one")
    return pairs[0] if pairs else None


def _side_by_side(folder: Path) -> tuple[StaticImage, ...]:
    paths = _image_files(folder)
    if any(path.stem.endswith((_IMAGE_ENDING, _MASK_ENDING)) for path in paths):
        images = {
            path.stem.removesuffix(_IMAGE_ENDING): path
            for path in paths
            if path.stem.endswith(_IMAGE_ENDING)
        }
        masks = {
            path.stem.removesuffix(_MASK_ENDING): path
            for path in paths
            if path.stem.endswith(_MASK_ENDING)
        }
    else:
        images = by_stem(path for path in paths if path.suffix.lower() in _JPEG)
        masks = by_stem(path for path in paths if path.suffix.lower() not in _JPEG)
    return _matched(images, masks, folder, folder) if paths else ()


def _image_files(folder: Path) -> list[Path]:
    paths = (path for path in folder.iterdir() if is_image_name(path.name))
    return sorted(paths, key=lambda path: natural_order(path.name))


def _matched(
    images: Mapping[str, Path], masks: Mapping[str, Path], image_folder: Path, mask_folder: Path
) -> tuple[StaticImage, ...]:
    if not images:
        raise InputError(f"{image_folder} holds no image with a mask; expected {LAYOUT}")
    for stem, path in images.items():
        if stem not in masks:
            raise InputError(
                f"image {path} has no mask '{stem}' in {mask_folder}{nearest_name(stem, masks)}"
            )
    for stem, path in masks.items():
        if stem not in images:
            raise InputError(
                f"mask {path} has no image '{stem}' in {image_folder}{nearest_name(stem, images)}"
            )
    return tuple(StaticImage(path, masks[stem]) for stem, path in images.items())
