"""Files that can be read but hold the wrong thing: masks, frames, videos."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from scmn.data.masks import write_label_map
from scmn.data.video_writer import VideoWriter
from tests.robustness.campaign import Case, cases
from tests.robustness.scene import SIZE, Scene, two_objects

Damage = Callable[[Scene], list[object]]
HEIGHT, WIDTH = SIZE
BEGUN: Any = {"writes": ("new/*",)}
"""The mistake is found in the middle of a sequence."""
RAMP = np.tile(np.arange(WIDTH), (HEIGHT, 1))


def mask(image: Image.Image, name: str = "mask.png", **options: Any) -> Damage:
    def damage(scene: Scene) -> list[object]:
        path = scene.root / name
        image.save(path, **options)
        return scene.segment(mask=path)

    return damage


def labels(content: np.ndarray) -> Damage:
    def damage(scene: Scene) -> list[object]:
        write_label_map(scene.mask, content.astype(np.uint8))
        return scene.segment("--output", scene.new)

    return damage


def grey(content: np.ndarray) -> Damage:
    return mask(Image.fromarray(content.astype(np.uint8)))


def with_alpha() -> Image.Image:
    """The object is in alpha, the colours are those of the picture."""
    pixels = np.full((*SIZE, 4), 255, np.uint8)
    pixels[..., 3] = 255 * (two_objects() > 0)
    return Image.fromarray(pixels)


def two_masks_for_a_frame(scene: Scene) -> list[object]:
    for name in "ab":
        (scene.root / name).mkdir()
        shutil.copy(scene.mask, scene.root / name / "00001.png")
    return [*scene.segment(mask=scene.root / "a/00001.png"), "--mask", scene.root / "b/00001.png"]


def mask_of_no_frame(scene: Scene) -> list[object]:
    shutil.copy(scene.mask, scene.root / "00009.png")
    return [*scene.segment(), "--mask", scene.root / "00009.png"]


def later_mask_small(scene: Scene) -> list[object]:
    shutil.copy(scene.mask, scene.root / "00000.png")
    write_label_map(scene.root / "00003.png", np.ones((5, 5), np.uint8))
    first = scene.root / "00000.png"
    return [*scene.segment("--output", scene.new, mask=first), "--mask", scene.root / "00003.png"]


def empty_folder_of_masks(scene: Scene) -> list[object]:
    (scene.root / "masks").mkdir()
    return scene.segment(mask=scene.root / "masks")


MASKS = [
    Case("mask without an object", labels(np.zeros(SIZE)), "has no object"),
    Case("mask of void alone", labels(np.full(SIZE, 255)), "has no object"),
    Case("small mask", labels(np.ones((5, 5))), "5x5 pixels but its frame is 96x64", **BEGUN),
    Case("turned mask", labels(two_objects().T), "64x96 pixels but its frame is 96x64", **BEGUN),
    Case("antialiased mask", grey(RAMP * 2), "greyscale with values"),
    Case("dark antialiased mask", grey(RAMP // 2), "--mask-ids"),
    Case("16-bit mask", mask(Image.fromarray((RAMP * 600).astype(np.uint16))), "values"),
    Case("float mask", mask(Image.fromarray(RAMP.astype(np.float32)), "mask.tiff"), "mode F"),
    Case("CMYK mask", mask(Image.new("CMYK", (WIDTH, HEIGHT)), "mask.tiff"), "mode CMYK"),
    Case("photo as mask", mask(Image.effect_noise((WIDTH, HEIGHT), 80).convert("RGB")), "mask"),
    Case("other colours", mask(Image.new("RGB", (WIDTH, HEIGHT), (1, 2, 3))), "DAVIS palette"),
    Case("object in alpha", mask(with_alpha()), "alpha"),
    Case("JPEG as mask", mask(Image.new("L", (WIDTH, HEIGHT), 255), "mask.jpg"), "JPEG"),
    Case("JPEG called PNG", mask(Image.new("L", (WIDTH, HEIGHT), 255), format="JPEG"), "JPEG"),
    Case("WebP as mask", mask(Image.new("RGB", (WIDTH, HEIGHT)), "mask.webp"), "WEBP"),
    Case("two masks for a frame", two_masks_for_a_frame, "for the same frame"),
    Case("mask that matches no frame", mask_of_no_frame, "matches no frame"),
    Case("small mask of a later frame", later_mask_small, r"00003\.png is 5x5", **BEGUN),
    Case("empty folder of masks", empty_folder_of_masks, "contains no images"),
    Case(
        "more objects than allowed",
        lambda scene: scene.segment("--output", scene.new, "evaluation.max_objects=1"),
        "2 objects.*1|more than",
        writes=("new/*",),
    ),
    Case("folder of frames as mask", lambda s: s.segment(mask=s.frames), r"00000\.jpg"),
    Case("video as mask", lambda s: s.segment(mask=s.clip), r"clip\.mp4"),
]


def frame(image: Image.Image, name: str = "00002.png", **options: Any) -> Damage:
    """Put another image in the place of the third frame."""

    def damage(scene: Scene) -> list[object]:
        scene.frame(2).unlink()
        image.save(scene.frames / name, **options)
        return scene.segment("--output", scene.new)

    return damage


def sixteen_bit() -> Image.Image:
    return Image.fromarray((RAMP * 600).astype(np.uint16))


def only(*names: str) -> Damage:
    def damage(scene: Scene) -> list[object]:
        for path in scene.frames.iterdir():
            path.unlink()
        for name in names:
            (scene.frames / name).write_text("")
        return scene.segment("--output", scene.new)

    return damage


def twice_the_same_stem(scene: Scene) -> list[object]:
    Image.new("RGB", (WIDTH, HEIGHT)).save(scene.frames / "00002.png")
    return scene.segment()


def bomb(path: Path) -> None:
    """A PNG of a few bytes that claims to be 60000x60000 pixels."""
    import struct
    import zlib

    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)


def huge_frame(scene: Scene) -> list[object]:
    scene.frame(2).unlink()
    bomb(scene.frames / "00002.png")
    return scene.segment("--output", scene.new)


def huge_mask(scene: Scene) -> list[object]:
    bomb(scene.mask)
    return scene.segment()


FRAMES = [
    Case("16-bit frame", frame(sixteen_bit()), "expected 8 bits", **BEGUN),
    Case("frame that is a bomb", huge_frame, r"00002\.png", **BEGUN),
    Case("mask that is a bomb", huge_mask, r"mask\.png"),
    Case("no frame", only(), "neither images nor folders"),
    Case("hidden frames", only(".00000.jpg"), "neither images nor folders"),
    Case("frames of other types", only("00000.txt", "00001.exr"), "neither images nor folders"),
    Case("all frames empty", only("00000.jpg"), r"00000\.jpg", **BEGUN),
    Case("two frames of one stem", twice_the_same_stem, "two files for '00002'"),
    Case("no video", lambda s: s.segment(video=s.root / "none.mp4"), "does not exist"),
    Case(
        "folders where a mask file is given",
        lambda s: s.segment(video=s.davis / "JPEGImages/480p"),
        "folder",
    ),
    Case(
        "folders without masks",
        lambda s: s.segment(video=s.davis / "JPEGImages/480p", mask=s.youtube),
        "does not exist",
    ),
]


def video(write: Callable[[Path], None], name: str = "other.mp4") -> Damage:
    def damage(scene: Scene) -> list[object]:
        write(scene.root / name)
        return scene.segment("--output", scene.new, video=scene.root / name)

    return damage


def only_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = np.zeros((1, 8000), np.float32)
        audio = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
        audio.rate = 8000
        container.mux(stream.encode(audio))
        container.mux(stream.encode(None))


def two_sizes(path: Path) -> None:
    """MPEG-2 transport streams can be joined, whatever they hold."""
    parts = []
    for number, (height, width) in enumerate([SIZE, (32, 48)]):
        part = path.with_name(f"part{number}.ts")
        with av.open(str(part), "w", format="mpegts") as container:
            stream = container.add_stream("mpeg2video", rate=Fraction(25))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for _ in range(3):
                image = np.zeros((height, width, 3), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def other_size(path: Path) -> None:
    with VideoWriter(path, frame_rate=10) as writer:
        for _ in range(3):
            writer.write(np.zeros((32, 48, 3), np.uint8))


def mask_after_the_end(scene: Scene) -> list[object]:
    shutil.copy(scene.mask, scene.root / "00000.png")
    shutil.copy(scene.mask, scene.root / "00007.png")
    masks = ["--mask", scene.root / "00007.png", "--output", scene.new]
    return [*scene.segment(video=scene.clip, mask=scene.root / "00000.png"), *masks]


VIDEOS = [
    Case("video of sound alone", video(only_sound, "other.m4a"), "no video stream"),
    Case("video of two sizes", video(two_sizes, "o.ts"), "changes size", writes=("new/*",)),
    Case("video of another size than its mask", video(other_size), "its frame is 48x32", **BEGUN),
    Case("mask after the end of the video", mask_after_the_end, "matches no frame"),
    Case(
        "subtitles as video",
        video(lambda p: p.write_text("1\n00:00 --> 00:01\nhi\n"), "a.srt"),
        "a.srt",
    ),
]


@cases(*MASKS, *FRAMES, *VIDEOS)
def test_files_with_the_wrong_content(
    case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(scene, capsys)
