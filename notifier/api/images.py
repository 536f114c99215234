"""Images for templates, uploaded as they are."""

from flask import Response

from notifier.api.answers import answer
from notifier.api.auth import Door, allow
from notifier.api.openapi import takes
from notifier.api.raw_bodies import pieces, refuse_encoded
from notifier.api.schemas.images import ImageOut, ImageQuery
from notifier.catalogue import images
from notifier.catalogue.image_files import MEDIA_TYPES, MOST_BYTES

bp = Door("api_images", __name__, url_prefix="/api/v1/images", tag="Templates")


@bp.post("")
@allow("templates", is_live_only=True)
@takes("application/octet-stream", "the bytes of the image")
@bp.input(ImageQuery, location="query")
@bp.output(ImageOut, 201)
def upload_image(query_data: ImageQuery) -> Response:
    """Upload an image

    The body is the file itself: PNG, JPEG, GIF or WebP, told by its bytes whatever its Content-Type. It may have 5 MB,
    4,096 pixels a side, and 200 frames as a GIF; all frames together may have 16.7 million pixels. It is stored
    upright and without metadata; of an animation that is no GIF the first frame stays.

    `url` is public and shows the same image for good: use it in templates, with an `alt` text. The same file again is
    the same image. All images together may have 500 MB (else 409).
    """
    refuse_encoded()
    image = images.add(b"".join(pieces(MOST_BYTES)), query_data.name)
    shown = {name: getattr(image, name) for name in ("name", "width", "height", "frames", "size")}
    return answer({"url": images.address(image), "media_type": MEDIA_TYPES[image.extension], **shown}, 201)
