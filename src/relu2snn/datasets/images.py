"""Decoding one photograph, and resizing it as Caffe does."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

UNREADABLE, NOT_RGB = "not a readable image", "not an RGB image"


def decode_rgb(source: Path | bytes) -> tuple[Bytes, None] | tuple[None, str]:
    """The pixels (h, w, 3), red, green and blue, of an image file or its bytes; or None and the reason.

    The reason is UNREADABLE (no file, no image, truncated), or NOT_RGB (greyscale, CMYK, palette, transparency).
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.mode != "RGB":
                return None, NOT_RGB
            return np.asarray(image), None
    # Damage is answered with as many exceptions as Pillow has decoders.
    except Exception:
        return None, UNREADABLE


def resize_bgr(image: Bytes, size: Sequence[int]) -> NDArray[np.float32]:
    """An image (h, w, 3) of red, green and blue bytes as float32 (*size, 3) of blue, green and red.

    Bilinear on floats, pixels centred at halves, without anti-aliasing: Caffe's rule, and TensorFlow's default.
    """
    import cv2

    values = np.ascontiguousarray(image[..., ::-1], np.float32)
    resized: Any = cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)
