"""What becomes of an uploaded file: pixels only, in bounds, or a refusal."""

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from notifier.catalogue.image_files import MOST_BYTES, MOST_FRAMES, clean
from notifier.core.errors import Rejected
from notifier.ground.process_pool import ProcessPool

RED, BLUE = (220, 20, 20), (20, 20, 220)
GPS, ORIENTATION = 0x8825, 0x0112


def written(kind: str, size: tuple[int, int] = (40, 20), **options: Any) -> bytes:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    to = io.BytesIO()
    image.save(to, kind, **options)
    return to.getvalue()


def animation(frames: int, size: tuple[int, int] = (8, 8), **options: Any) -> bytes:
    images = [Image.new("RGB", size, (number % 256, 90, number // 256)) for number in range(frames)]
    to = io.BytesIO()
    images[0].save(to, "GIF", save_all=True, append_images=images[1:], **{"duration": 70, "loop": 0, **options})
    return to.getvalue()


def tagged() -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # it is to be turned by a quarter
    exif[0x010E] = "SECRET-DESCRIPTION"
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 31.0, 12.0), 29: "2001:01:01"})
    return exif


def png_of(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG whose head says that it is so large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    head = struct.pack("!IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def webp_of(width: int, height: int) -> bytes:
    file = bytearray(written("WEBP", lossless=True))
    bits = (width - 1) | (height - 1) << 14
    file[21:25] = struct.pack("<I", bits | int.from_bytes(file[21:25], "little") & 0xF0000000)
    return bytes(file)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
REFUSED = {
    "nothing": (b"", "empty"),
    "text": (b"hello", "wrong_type"),
    "SVG": (SVG, "wrong_type"),
    "HTML": (b"<html><script>alert(1)</script>", "wrong_type"),
    "BMP": (written("BMP"), "wrong_type"),
    "TIFF": (written("TIFF"), "wrong_type"),
    "a PDF": (b"%PDF-1.7\n", "wrong_type"),
    "too many bytes": (written("PNG") + bytes(MOST_BYTES), "too_large"),
    "a head alone": (b"GIF89a", "unreadable"),
    "a script that begins as a GIF": (b"GIF89a/*" + b"A" * 40 + b"*/=1;alert(1)", None),
    "a JPEG by its first bytes alone": (b"\xff\xd8\xff\xe0" + SVG, "unreadable"),
    "a truncated PNG": (written("PNG", (300, 300))[:-40], "unreadable"),
    "a truncated JPEG": (written("JPEG", (300, 300))[:-400], "unreadable"),
    "a truncated WebP": (written("WEBP", (300, 300))[:-60], "unreadable"),
    "a truncated GIF": (written("GIF", (300, 300))[:-60], "unreadable"),
    "a PNG bomb": (png_of(60_000, 60_000, bytes(5_000_000)), "too_large"),
    "a PNG larger than any": (png_of(2**31 - 1, 2**31 - 1), None),
    "a wide PNG": (png_of(4_097, 1), "too_large"),
    "a WebP bomb": (webp_of(16_383, 16_383), "too_large"),
    "too many frames": (animation(MOST_FRAMES + 1, (1, 1)), "too_large"),
    "frames of too many pixels": (animation(18, (1000, 1000)), "too_large"),
}


@pytest.mark.parametrize(("file", "code"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_no_image_or_too_large_is_refused(file: bytes, code: str | None) -> None:
    with pytest.raises(Rejected) as refused:
        clean(file)
    assert code in (None, refused.value.faults[0].code)


@pytest.mark.parametrize(("kind", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif")])
def test_an_image_is_upright_and_holds_its_pixels_only(kind: str, extension: str) -> None:
    own = {"GIF": {"comment": b"SECRET-COMMENT"}, "JPEG": {"comment": b"SECRET-COMMENT"}}.get(kind, {})
    exif = {} if kind == "GIF" else {"exif": tagged(), "icc_profile": b"SECRET-PROFILE" * 20, "xmp": b"SECRET-XMP"}
    file = written(kind, **own, **exif) + b"<script>SECRET-TAIL</script>PK\x03\x04"
    made = clean(file)
    with Image.open(io.BytesIO(made.data)) as image:
        assert (made.extension, made.frames, image.format) == (extension, 1, kind)
        assert image.size == (made.width, made.height) == ((40, 20) if kind == "GIF" else (20, 40))
        assert not image.getexif()
        assert not {"comment", "icc_profile", "xmp", "exif"} & image.info.keys()
        red, _, blue = image.convert("RGB").getpixel((2, 2))
        assert red > 180 > 60 > blue
    assert b"SECRET" not in made.data
    assert b"GPS" not in made.data
    assert clean(file) == made


def test_an_animation_keeps_its_frames_their_lengths_and_its_loop() -> None:
    made = clean(animation(5, comment=b"SECRET"))
    with Image.open(io.BytesIO(made.data)) as image:
        assert (image.n_frames, image.info["duration"], image.info["loop"]) == (5, 70, 0)
        image.seek(4)
        assert image.convert("RGB").getpixel((0, 0)) == (4, 90, 0)
    assert made.frames == 5
    assert b"SECRET" not in made.data


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixels_is_taken(mode: str) -> None:
    to = io.BytesIO()
    Image.new(mode, (3, 3)).save(to, "JPEG" if mode == "CMYK" else "PNG")
    assert clean(to.getvalue()).width == 3


@pytest.mark.slow
def test_the_largest_ones_fit_into_the_memory_of_a_child() -> None:
    pool = ProcessPool(1, longest_call_s=120)
    try:
        assert pool.run(clean, written("JPEG", (4096, 4096))).width == 4096
        assert pool.run(clean, animation(16, (1000, 1000))).frames == 16
        with pytest.raises(Rejected):
            pool.run(clean, png_of(60_000, 60_000, bytes(5_000_000)))
    finally:
        pool.close()
