"""Decoding one photograph, and resizing it as Caffe does."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import machine_error

Bytes = NDArray[np.uint8]

UNREADABLE, NOT_RGB = "not a readable image", "not an RGB image"

# Pillow knows more, some of which run other programs; photographs come in these.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
# Half a gigabyte once decoded. Pillow itself only warns up to twice its own limit, near the same.
_MOST_PIXELS = 178_956_970


def decode_rgb(source: Path | bytes) -> tuple[Bytes, None] | tuple[None, str]:
    """The pixels (h, w, 3), red, green and blue, of an image file or its bytes; or None and the reason.

    The reason is UNREADABLE (no file, no image, truncated, damaged where the format can tell, too large), or NOT_RGB
    (greyscale, CMYK, palette, transparency). Errors of the machine (no memory, no descriptors) are passed on.
    """
    from PIL import Image

    try:
        content = io.BytesIO(source if isinstance(source, bytes) else source.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(content, formats=_FORMATS) as image:
                if image.width * image.height > _MOST_PIXELS:
                    return None, UNREADABLE
                if image.mode != "RGB":
                    return None, NOT_RGB
                if image.format == "PNG":
                    # Decoding alone compares none of the checksums of the pixels.
                    image.verify()
            with Image.open(content, formats=_FORMATS) as image:
                return np.asarray(image), None
    # Damage is answered with as many exceptions as Pillow has decoders.
    except Exception as error:
        if machine_error(error) is not None:
            raise
        return None, UNREADABLE


def resize_bgr(image: Bytes, size: Sequence[int]) -> NDArray[np.float32]:
    """An image (h, w, 3) of red, green and blue bytes as float32 (*size, 3) of blue, green and red.

    Bilinear on floats, pixels centred at halves, without anti-aliasing: Caffe's rule, and TensorFlow's default.
    """
    import cv2

    values = np.ascontiguousarray(image[..., ::-1], np.float32)
    resized: Any = cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)
