"""An uploaded file made into an image: told by its bytes, bounded before it is decoded, and written anew.

What comes out holds the pixels and nothing else: no EXIF or GPS data, comments, colour profiles, or bytes behind the
image. Called by `catalogue.images` in a child process, since decoding takes time and memory; knows no database.
"""

import io
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from PIL import Image, ImageOps, ImageSequence

from notifier.core.errors import Fault, Rejected

MOST_BYTES = 5_000_000  # of the file, and of what is made of it
MOST_SIDE = 4_096  # pixels
MOST_PIXELS = MOST_SIDE**2  # of all frames together
MOST_FRAMES = 200
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}

_FORMATS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP"}  # Pillow's names
_MODES = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpg": ("L", "RGB"),
    "gif": ("1", "L", "P", "RGB", "RGBA"),
    "webp": ("RGB", "RGBA"),
}
_OPTIONS: dict[str, dict[str, Any]] = {"jpg": {"quality": 90, "optimize": True}, "webp": {"quality": 90}}
_FRAME_MS = 100  # of a frame that says nothing


class Cleaned(NamedTuple):
    """`extension`: of MEDIA_TYPES. `width`, `height`: pixels, as it is seen."""

    data: bytes
    extension: str
    width: int
    height: int
    frames: int


def clean(data: bytes) -> Cleaned:
    """The image in this file, upright. A GIF keeps its frames; of other animations the first frame stays. Raises
    Rejected.
    """
    if not data:
        raise _refused("empty", "the file is empty")
    if len(data) > MOST_BYTES:
        raise _refused("too_large", f"the file is too large: at most {MOST_BYTES // 1_000_000} MB")
    extension = _sniffed(data)
    if extension is None:
        raise _refused("wrong_type", "this is no PNG, JPEG, GIF or WebP image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which are refused here
            made = _made(data, extension)
    except Rejected:
        raise
    except Image.DecompressionBombError as error:
        raise _too_wide() from error
    except Exception as error:  # Pillow's decoders raise whatever a broken file brings about
        raise _refused("unreadable", "the image is broken: it cannot be read to its end") from error
    if len(made.data) > MOST_BYTES:
        raise _refused("too_large", f"the image is too large: written anew it has over {MOST_BYTES // 1_000_000} MB")
    return made


def _sniffed(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _made(data: bytes, extension: str) -> Cleaned:
    with Image.open(io.BytesIO(data), formats=[_FORMATS[extension]]) as image:  # reads the head only
        _check_sides(image)
        frames = _count_frames(image) if extension == "gif" else 1
        if frames > 1:
            return Cleaned(_animation(image), extension, *image.size, frames)
        upright = ImageOps.exif_transpose(image)
        if upright.mode not in _MODES[extension]:
            upright = upright.convert("RGB" if extension == "jpg" else "RGBA")
        _forget_all_but_pixels(upright)
        return Cleaned(_written(upright, extension, **_OPTIONS.get(extension, {})), extension, *upright.size, 1)


def _check_sides(image: Image.Image) -> None:
    if max(image.size) > MOST_SIDE:
        raise _too_wide()


def _count_frames(image: Image.Image) -> int:
    """Without decoding them. Raises Rejected as soon as there are too many."""
    pixels = image.width * image.height
    most = min(MOST_FRAMES, MOST_PIXELS // pixels)
    count = 1
    try:
        while True:
            image.seek(count)
            _check_sides(image)  # a frame may make a GIF larger
            count += 1
            if count > most:
                raise _refused("too_large", f"the animation is too long: at most {most} frames of this size")
    except EOFError:
        image.seek(0)
        return count


def _animation(image: Image.Image) -> bytes:
    loops = {"loop": image.info["loop"]} if "loop" in image.info else {}
    lengths: list[int] = []
    frames = list(_frames(image, lengths))
    return _written(
        frames[0], "gif", save_all=True, append_images=frames[1:], duration=lengths, disposal=2, optimize=False, **loops
    )


def _frames(image: Image.Image, lengths: list[int]) -> Iterator[Image.Image]:
    for frame in ImageSequence.Iterator(image):
        lengths.append(int(frame.info.get("duration", _FRAME_MS)))
        whole = frame.convert("RGBA")
        _forget_all_but_pixels(whole)
        yield whole


def _forget_all_but_pixels(image: Image.Image) -> None:
    """Pillow writes profiles and comments that it has read, unless they are gone."""
    image.info = {name: value for name, value in image.info.items() if name == "transparency"}


def _written(image: Image.Image, extension: str, **options: Any) -> bytes:
    to = io.BytesIO()
    image.save(to, _FORMATS[extension], **options)
    return to.getvalue()


def _too_wide() -> Rejected:
    return _refused("too_large", f"the image is too large: at most {MOST_SIDE:,} pixels wide and high")


def _refused(code: str, message: str) -> Rejected:
    return Rejected("validation_failed", message, (Fault("", code, message),))
