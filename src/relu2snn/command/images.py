"""Images as a network takes them, of any file or folder: (pixel / scale − mean) / std, and the range that this gives.

Nothing is guessed that would change what is computed: whole numbers need --scale or --low and --high, since bytes may
stand for 0 to 1 or for themselves, and a range that pixels hardly use is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.command.arrays import StoredArray, open_array
from relu2snn.command.models import Shape, require
from relu2snn.command.options import ImageOptions, Numbers
from relu2snn.command.pictures import Pictures, find_pictures, is_picture
from relu2snn.errors import UserError

Array = NDArray[np.float64]

TO_CALIBRATE = ("x_train", "x_test", "images", "x")
TO_RUN = ("x_test", "images", "x", "x_train")
"""The arrays of an .npz that are taken for images, the first that is there."""

_BYTES = 255.0
_ROUNDING = 1e-6
# How much of a range pixels must be able to use.
_SHARE = 0.25


class Range(NamedTuple):
    """The range of a network's input, numbers or (channels,)."""

    low: Array
    high: Array

    def __str__(self) -> str:
        return f"{np.min(self.low):.6g} to {np.max(self.high):.6g}"

    def width(self) -> float:
        """From the least value of any channel to the largest."""
        return float(np.max(self.high) - np.min(self.low))


@dataclass(frozen=True)
class Images:
    """Images that are read, and scaled, when they are used; `said` is what is done to them, in words.

    range: of their values, for a conversion. names: the files of pictures, else None.
    """

    stored: StoredArray | Pictures
    count: int
    scale: float
    mean: Array
    std: Array
    range: Range
    said: str
    names: list[str] | None

    def batches(self, batch: int) -> Iterator[Array]:
        """Images (b, *shape) in float64, at most `batch` at once."""
        for start in range(0, self.count, batch):
            pixels = self.stored.read(start, min(start + batch, self.count)).astype(np.float64)
            yield (pixels / self.scale - self.mean) / self.std

    def batch_count(self, batch: int) -> int:
        """How many batches there are."""
        return -(-self.count // batch)


def open_images(
    path: Path,
    shape: Shape,
    options: ImageOptions,
    *,
    keys: Sequence[str],
    first: bool = False,
    known: Range | None = None,
) -> Images:
    """The images of a file or a folder for a network that takes images of this shape.

    keys: names of arrays in an .npz, of which the first that is there is taken. first: whether channels are the first
    axis. known: the range that a spiking network was made for. Raises UserError, one line, for images that the network
    does not take, or whose range cannot be known.
    """
    require(path, "images: .npy, .npz, idx, or a folder of pictures")
    start = b"" if path.is_dir() else _start(path)
    channels = shape[0 if first else -1] if len(shape) > 1 else 1
    mean = _each_channel("mean", options.mean, 0.0, shape, channels, first)
    std = _each_channel("std", options.std, 1.0, shape, channels, first)
    if (std <= 0).any() or (options.scale is not None and not options.scale > 0):
        raise UserError(f"--scale and --std divide pixels: give numbers above 0, not {_shown(options)}")
    stored: StoredArray | Pictures
    if path.is_dir() or is_picture(start):
        stored, said, names = _pictures(path, shape, options, channels, first)
    else:
        stored, said, names = _array(path, start, shape, options, keys)
    scale = options.scale if options.scale is not None else (_BYTES if isinstance(stored, Pictures) else 1.0)
    # What pixels can be before they are scaled; others than bytes are taken for 0 to 1 after --scale.
    most = _BYTES if _is_bytes(stored) else scale
    found = Range(*((np.asarray(each) / scale - mean) / std for each in (0.0, most)))
    given = _given(options, found, shape, channels, first)
    _require_range(stored, options, found, given=given, known=known)
    count = len(stored) if options.count is None else min(options.count, len(stored))
    if count < len(stored):
        said += f", the first {count}"
    said += f", {_words(options, scale)}"
    flat = Range(*(np.asarray(each).reshape(-1) if np.ndim(each) else each for each in given))
    return Images(stored, count, scale, mean, std, flat, said, names)


def _pictures(
    path: Path, shape: Shape, options: ImageOptions, channels: int, first: bool
) -> tuple[Pictures, str, list[str] | None]:
    files, left_out = find_pictures(path)
    stored = Pictures(files, _sides(shape, first, options), channels, first, options.size)
    count = f"{len(files)} picture{'s' * (len(files) > 1)}"
    others = f" (other files left out: {left_out})" if left_out else ""
    return stored, f"{path}: {count}{others}, {stored.said()}", [_name(each, path) for each in files]


def _array(
    path: Path, start: bytes, shape: Shape, options: ImageOptions, keys: Sequence[str]
) -> tuple[StoredArray, str, list[str] | None]:
    if options.size is not None:
        raise UserError(f"--size {options.size}: only pictures are resized; leave it out for {path}")
    stored = open_array(path, start, shape, key=options.key, keys=keys)
    fitting = f", {stored.note}" if stored.note else ""
    return stored, f"{stored.where}: {len(stored)} images of {stored.array.dtype}{fitting}", None


def _is_bytes(stored: StoredArray | Pictures) -> bool:
    return isinstance(stored, Pictures) or stored.array.dtype == np.uint8


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _name(file: Path, folder: Path) -> str:
    return file.name if file == folder else str(file.relative_to(folder))


def _each_channel(word: str, given: Numbers | None, usual: float, shape: Shape, channels: int, first: bool) -> Array:
    """The numbers of an option so that they fit images (n, *shape): one, or one for each channel."""
    if given is None:
        return np.asarray(usual)
    values = np.asarray(given.values)
    if len(values) == 1:
        return np.asarray(values[0])
    if len(values) != channels:
        raise UserError(
            f"--{word} {','.join(f'{each:g}' for each in given.values)}: {len(values)} numbers for {channels} "
            f"channel{'s' * (channels > 1)}; give one, or one for each"
        )
    return values.reshape(-1, *(1,) * (len(shape) - 1)) if first else values


def _sides(shape: Shape, first: bool, options: ImageOptions) -> tuple[int, int]:
    """Height and width of the pictures that a network takes."""
    height, width, channels = (*shape[1:], shape[0]) if first and len(shape) == 3 else (*shape, 0)[:3]
    if len(shape) != 3 or channels not in (1, 3):
        sizes = " x ".join(map(str, shape))
        raise UserError(f"pictures have 1 or 3 channels, but the network takes images of {sizes}; give an .npy or .npz")
    if options.size is not None and options.size < max(height, width):
        raise UserError(f"--size {options.size}: smaller than the {height} x {width} that the network takes")
    if options.key is not None:
        raise UserError(f"--key {options.key}: only an .npz has arrays; leave it out for pictures")
    return height, width


def _given(options: ImageOptions, found: Range, shape: Shape, channels: int, first: bool) -> Range:
    low = found.low if options.low is None else _each_channel("low", options.low, 0.0, shape, channels, first)
    high = found.high if options.high is None else _each_channel("high", options.high, 1.0, shape, channels, first)
    return Range(low, high)


def _require_range(
    stored: StoredArray | Pictures, options: ImageOptions, found: Range, *, given: Range, known: Range | None
) -> None:
    """Raise UserError where the range of the pixels is unknown, or another than the network is made for."""
    if known is not None and (options.low is not None or options.high is not None) and not _same(given, known):
        raise UserError(
            f"--low and --high: {given}, but the spiking network was made for {known}; leave them out, it knows its own"
        )
    if isinstance(stored, StoredArray) and stored.array.dtype.kind in "iu" and options.scale is None:
        both = options.low is not None and options.high is not None
        fits = known is not None and _is_bytes(stored) and _within(found, known)
        if not (both or fits):
            way_out = "give --scale 255 for a network that takes 0 to 1, or --low 0 --high 255 for bytes as they are"
            if known is not None:
                way_out = f"the spiking network was made for {known}: give the scaling that it was made with"
            raise UserError(
                f"{stored.where}: whole numbers ({stored.array.dtype}), which may stand for 0 to 1 or for themselves; "
                f"{way_out}"
            )
    wanted = given if known is None else known
    if isinstance(stored, Pictures) and options.scale is None and found.width() < _SHARE * wanted.width():
        raise UserError(
            f"pictures are divided by 255, which gives values from {found}, but the range is {wanted}; give --scale 1 "
            "to keep 0 to 255, or the --mean and --std that the network was trained with"
        )


def _within(inner: Range, outer: Range) -> bool:
    margin = _ROUNDING * outer.width()
    return bool(np.min(inner.low) >= np.min(outer.low) - margin and np.max(inner.high) <= np.max(outer.high) + margin)


def _same(one: Range, other: Range) -> bool:
    return _within(one, other) and _within(other, one)


def _words(options: ImageOptions, scale: float) -> str:
    words = [f"pixels / {scale:g}"] if scale != 1 else []
    for word, verb in (("mean", "minus"), ("std", "divided by")):
        numbers = getattr(options, word)
        if numbers is not None:
            words.append(f"{verb} {','.join(f'{each:g}' for each in numbers.values)}")
    return ", ".join(words) or "values as they are"


def _shown(options: ImageOptions) -> str:
    std = "" if options.std is None else ",".join(f"{each:g}" for each in options.std.values)
    return " and ".join(filter(None, ("" if options.scale is None else f"{options.scale:g}", std)))
