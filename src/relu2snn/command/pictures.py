"""Pictures of a folder as arrays: decoded by TensorFlow, the shorter side resized, the middle cut out."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError, reading

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM"
# Half a gigabyte once decoded.
_MOST_PIXELS = 178_956_970
_WAY_OUT = "take it out, or save it again"


@dataclass(frozen=True)
class Pictures:
    """Pictures as (height, width, channels), or channels first, of values from 0 to 255; each is read when used.

    files: in the order of their names. sides: height and width. shorter: the shorter side before the middle is cut
    out; None for the smallest picture that covers the sides.
    """

    files: tuple[Path, ...]
    sides: tuple[int, int]
    channels: int
    first: bool
    shorter: int | None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The pictures from `start` to `stop`, float32 (n, *shape); raises UserError for one that is damaged."""
        found = np.stack([self._picture(path) for path in self.files[start:stop]])
        return np.moveaxis(found, -1, 1) if self.first else found

    def said(self) -> str:
        """What is done to them, for people."""
        height, width = self.sides
        kind = "grey" if self.channels == 1 else "RGB"
        to = f"shorter side to {self.shorter}" if self.shorter else f"resized to cover {height} x {width}"
        return f"{kind}, {to} (bilinear, antialiased), {height} x {width} cut from the middle"

    def _picture(self, path: Path) -> NDArray[Any]:
        import tensorflow as tf

        with reading(path, "picture", _WAY_OUT):
            content = path.read_bytes()
            _require_size(content)
            decoded = np.asarray(_decoded(content, self.channels), np.float32)
            height, width = decoded.shape[:2]
            scale = self._scale(height, width)
            sides = max(self.sides[0], round(height * scale)), max(self.sides[1], round(width * scale))
            if sides != (height, width):
                decoded = np.asarray(tf.image.resize(decoded, sides, method="bilinear", antialias=True))
            top, left = (sides[0] - self.sides[0]) // 2, (sides[1] - self.sides[1]) // 2
            return decoded[top : top + self.sides[0], left : left + self.sides[1]]

    def _scale(self, height: int, width: int) -> float:
        if self.shorter is not None:
            return self.shorter / min(height, width)
        return max(self.sides[0] / height, self.sides[1] / width)


def is_picture(start: bytes) -> bool:
    """Whether a file that starts so is a picture of a kind that is read."""
    return start.startswith((_PNG, _JPEG, _BMP))


def find_pictures(path: Path) -> tuple[tuple[Path, ...], int]:
    """The pictures of a folder and those below it, by their names, and how many other files there are; or one picture.

    Raises UserError where there are none.
    """
    if path.is_file():
        return (path,), 0
    files = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
    pictures = tuple(each for each in files if each.suffix.lower() in _SUFFIXES)
    if not pictures:
        raise UserError(f"{path}: no pictures in it ({', '.join(_SUFFIXES)}); name a folder that holds some")
    return pictures, len(files) - len(pictures)


def _decoded(content: bytes, channels: int) -> Any:
    import tensorflow as tf

    if content.startswith(_PNG):
        return tf.io.decode_png(content, channels=channels)
    if content.startswith(_JPEG):
        return tf.io.decode_jpeg(content, channels=channels, dct_method="INTEGER_ACCURATE")
    if not content.startswith(_BMP):
        raise ValueError("neither PNG nor JPEG nor BMP")
    # Of this format TensorFlow gives the channels that it has.
    found = tf.io.decode_bmp(content)[..., :3]
    if found.shape[-1] == channels:
        return found
    return tf.image.rgb_to_grayscale(found) if channels == 1 else tf.image.grayscale_to_rgb(found[..., :1])


def _require_size(content: bytes) -> None:
    """Raise ValueError for a picture that declares more pixels than are decoded here, before it is."""
    import tensorflow as tf

    if content.startswith(_PNG):
        width, height = struct.unpack_from(">II", content, 16)
    elif content.startswith(_JPEG):
        height, width = tf.io.extract_jpeg_shape(content).numpy()[:2].tolist()
    elif content.startswith(_BMP):
        width, height = (abs(side) for side in struct.unpack_from("<ii", content, 18))
    else:
        return
    if width * height > _MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {_MOST_PIXELS}")
