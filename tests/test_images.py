"""What users give as images: read a batch at a time, or refused in one line that says what to do."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf

from relu2snn.graph.nodes import Source
from relu2snn.mapping.images import ROUNDING, batches, clipped, source_batches

SHAPE = (4, 3, 2)
IMAGES = np.random.default_rng(0).random((10, *SHAPE))


def source(name: str = "images", shape: tuple[int, ...] = SHAPE, low: Any = 0.0, high: Any = 1.0) -> Source:
    return Source(name, shape, np.asarray(low, np.float64), np.asarray(high, np.float64))


def joined(found: Iterator[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    return np.concatenate(list(found))


class Sequence(keras.utils.PyDataset):
    """Batches by number."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> Any:
        return IMAGES[3 * number : 3 * number + 3], np.zeros(3)


LABELS = np.arange(10)
KINDS: dict[str, Any] = {
    "array": lambda: IMAGES,
    "tensor": lambda: tf.constant(IMAGES),
    "list of images": lambda: list(IMAGES),
    "tuple of images": lambda: tuple(IMAGES),
    "nested lists": lambda: IMAGES.tolist(),
    "list of batches": lambda: [IMAGES[:7], IMAGES[7:]],
    "list of batches and labels": lambda: [(IMAGES[:7], LABELS[:7]), (IMAGES[7:], LABELS[7:])],
    "dictionary": lambda: {"images": IMAGES},
    "generator": lambda: (IMAGES[start : start + 4] for start in range(0, 10, 4)),
    "generator of one batch": lambda: iter([IMAGES]),
    "dataset": lambda: tf.data.Dataset.from_tensor_slices(IMAGES).batch(4),
    "dataset and labels": lambda: tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(6),
    "dataset, labels and weights": lambda: tf.data.Dataset.from_tensor_slices((IMAGES, LABELS, LABELS)).batch(6),
    "dataset of dictionaries": lambda: tf.data.Dataset.from_tensor_slices({"images": IMAGES}).batch(3),
    "keras' data set": Sequence,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 3, np.int64(4), 64])
def test_whatever_holds_images_is_read_in_order_and_in_float64(kind: str, batch: int) -> None:
    found = list(batches(KINDS[kind](), batch, SHAPE, 0.0, 1.0))
    assert max(map(len, found)) <= batch
    assert found[0].dtype == np.float64
    np.testing.assert_array_equal(np.concatenate(found), IMAGES)


def test_a_table_is_read_by_its_rows() -> None:
    rows = IMAGES.reshape(10, -1)
    table = pandas.DataFrame(rows, columns=[f"pixel{number}" for number in range(rows.shape[1])])
    np.testing.assert_array_equal(joined(batches(table, 4, rows.shape[1:])), rows)


def test_whole_numbers_and_booleans_are_numbers() -> None:
    pixels = (IMAGES * 255).astype(np.uint8)
    np.testing.assert_array_equal(joined(batches(pixels, 4, SHAPE, 0, 255)), pixels)
    np.testing.assert_array_equal(joined(batches(pixels > 99, 4, SHAPE)), pixels > 99)


def test_no_more_than_a_piece_is_taken_before_it_is_asked_for() -> None:
    taken = []

    def generate() -> Iterator[Any]:
        for number in itertools.count():
            taken.append(number)
            yield IMAGES

    found = batches(generate(), 5, SHAPE)
    for _ in range(4):
        next(found)
    assert taken == [0, 1]


TWO = [source("a"), source("b", (5,), -1.0, 1.0)]
OTHER = np.random.default_rng(1).uniform(-1, 1, (10, 5))
SEVERAL: dict[str, Any] = {
    "dictionary": lambda: {"b": OTHER, "a": IMAGES},
    "list": lambda: [IMAGES, OTHER],
    "tuple": lambda: (IMAGES, OTHER),
    "dataset of dictionaries": lambda: tf.data.Dataset.from_tensor_slices({"b": OTHER, "a": IMAGES}).batch(4),
    "dataset of pairs": lambda: tf.data.Dataset.from_tensor_slices((IMAGES, OTHER)).batch(4),
    "dataset of pairs and labels": lambda: tf.data.Dataset.from_tensor_slices(((IMAGES, OTHER), LABELS)).batch(4),
    "generator of dictionaries and labels": lambda: (
        ({"a": IMAGES[i : i + 3], "b": OTHER[i : i + 3]}, LABELS[i : i + 3]) for i in (0, 3, 6, 9)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_inputs_are_read_together(kind: str) -> None:
    found = list(source_batches(SEVERAL[kind](), TWO, batch=3))
    assert all(list(each) == ["a", "b"] for each in found)
    np.testing.assert_array_equal(np.concatenate([each["a"] for each in found]), IMAGES)
    np.testing.assert_array_equal(np.concatenate([each["b"] for each in found]), OTHER)


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "none": (None, ValueError, "^no images given$"),
    "empty": (IMAGES[:0], ValueError, "^no images given$"),
    "empty list": ([], ValueError, "^no images given$"),
    "empty generator": (iter(()), ValueError, "^no images given$"),
    "a path": ("x.npy", TypeError, r"^a path as images \('x.npy'\): load it first, as with numpy.load$"),
    "a Path": (Path("a") / "b.npy", TypeError, r"^a path as images \('a/b.npy'\): load it"),
    "paths": (["x.png", "y.png"], TypeError, r"^a path as images \('x.png'\): load it"),
    "a number": (7, TypeError, "^int as images: give an array of them$"),
    "one image": (IMAGES[0], ValueError, r"^one image of shape \(4, 3, 2\) without the axis of the batch: give ima"),
    "unbatched": (
        tf.data.Dataset.from_tensor_slices(IMAGES),
        ValueError,
        r"^one image of shape \(4, 3, 2\) without the axis of the batch: batch them first, as in dataset.batch\(64\)$",
    ),
    "without end": (
        tf.data.Dataset.from_tensor_slices(IMAGES).batch(2).repeat(),
        ValueError,
        r"^a data set without an end: give a part of it, as dataset.take\(10\)$",
    ),
    "images and labels": ((IMAGES, LABELS), ValueError, r"^a tuple, as of \(images, labels\): give the images alone$"),
    "another shape": (IMAGES[:, :3], ValueError, r"^images of shape \(3, 3, 2\): the network takes \(4, 3, 2\)$"),
    "flat": (IMAGES.reshape(10, -1), ValueError, r"\(24,\): .* \(4, 3, 2\); give images.reshape\(\(-1, 4, 3, 2\)\)$"),
    "channels first": (np.moveaxis(IMAGES, -1, 1), ValueError, r"channels last; give numpy.moveaxis\(images, 1, -1\)$"),
    "unlike images": ([IMAGES[0], IMAGES[1, :2]], ValueError, r"^image 1 of the list is of shape \(2, 3, 2\): the net"),
    "objects": (IMAGES.astype(object), TypeError, "^images of type object: every pixel must be a number$"),
    "texts": (IMAGES.astype(str), TypeError, "^images of type <U32: every pixel must be a number$"),
    "complex": (IMAGES * 1j, TypeError, "^images of type complex128: every pixel must be a number$"),
    "of an input": ({"image": IMAGES}, ValueError, "^images for the inputs 'image': the network takes 'images'$"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_images_is_refused_in_one_line(kind: str) -> None:
    images, error, message = WRONG[kind]
    with pytest.raises(error, match=message):
        list(batches(images, 4, SHAPE, 0.0, 1.0))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES, "^one array for a network with the inputs 'a', 'b': give a dictionary of images by these names$"),
        ({"a": IMAGES}, "^images for the inputs 'a': the network takes 'a', 'b'$"),
        ({"a": IMAGES, "b": OTHER[:4]}, "^inputs with different numbers of images: {'a': 10, 'b': 4}$"),
        ({"a": IMAGES, "b": OTHER[:, :4]}, r"^images of shape \(4,\) for input 'b': the network takes \(5,\)$"),
        ({"a": IMAGES, "b": OTHER + 1}, r"^batch 0, input 'b', image 0 has values .*outside \[-1.0, 1.0\]"),
    ],
)
def test_wrong_images_of_several_inputs_are_named(images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(source_batches(images, TWO))


def test_a_grey_image_without_channels_is_told_how() -> None:
    with pytest.raises(
        ValueError, match=r"\(4, 3\): the network takes \(4, 3, 1\); give images\[..., numpy.newaxis\]$"
    ):
        list(batches(IMAGES[..., 0], 4, (4, 3, 1)))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (-5, "batch=-5: must be at least 1"),
        (0, "batch=0: must be at least 1"),
        (2.5, "batch=2.5: must be a whole number, at least 1"),
        (4.0, "batch=4.0: must be a whole number, at least 1"),
        (True, "batch=True: must be a whole number, at least 1"),
        ("8", "batch='8': must be a whole number, at least 1"),
        (None, "batch=None: must be a whole number, at least 1"),
    ],
)
def test_a_batch_is_a_whole_number_and_said_so_before_any_image_is_read(batch: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        batches(iter(()), batch, SHAPE)


def normalised(dtype: Any, mean: Any, std: Any) -> np.ndarray[Any, Any]:
    pixels = np.arange(256).astype(dtype) / dtype(255)
    result: np.ndarray[Any, Any] = (pixels[:, None] - np.asarray(mean, dtype)) / np.asarray(std, dtype)
    return result


def test_images_normalised_in_float32_are_clipped_by_their_rounding() -> None:
    draw = np.random.default_rng(0)
    outside, worst = 0, 0.0
    for _ in range(3000):
        mean, std = draw.uniform(0, 1, 3), draw.uniform(0.01, 1, 3)
        low, high = (0 - mean) / std, (1 - mean) / std
        images = normalised(np.float32, mean, std)
        over = np.maximum(low - images, images - high).max(axis=0) / np.maximum(np.abs(low), np.abs(high))
        outside, worst = outside + int((over > 0).any()), max(worst, float(over.max()))
        found = joined(batches(images, 300, (3,), low, high))
        assert (found >= low).all()
        assert (found <= high).all()
        np.testing.assert_allclose(found, images, rtol=0, atol=1e-6 * max(np.abs(low).max(), np.abs(high).max()))
    # The bound is needed, and not far from what happens.
    assert outside > 1000
    assert ROUNDING / 10 < worst < ROUNDING


def test_what_is_further_outside_is_refused_by_its_number() -> None:
    images = IMAGES.copy()
    images[7, 0, 0, 1] = 1 + 2 * ROUNDING
    message = (
        r"^batch 1, image 7 has values from .* to 1.0000009.*, outside \[0.0, 1.0\]; give their range as low and high$"
    )
    with pytest.raises(ValueError, match=message):
        list(batches(images, 5, SHAPE, 0.0, 1.0))
    (found,) = source_batches(images, [source()], anywhere=True)
    np.testing.assert_array_equal(found["images"], images)


def test_a_range_by_channel_holds_for_its_channel() -> None:
    low, high = np.array([0.0, -2.0]), np.array([1.0, 0.5])
    images = low + (high - low) * IMAGES
    np.testing.assert_array_equal(joined(batches(images, 4, SHAPE, low, high)), images)
    with pytest.raises(ValueError, match=r"outside \[\[0.0, -2.0\], \[1.0, 0.5\]\]"):
        list(batches(images[..., ::-1], 4, SHAPE, low, high))


def test_clipping_touches_nothing_else() -> None:
    pixels = np.array([[-1.0, -1e-7, 0.0, 0.5, 1.0, 1 + 1e-7, 3.0]])
    np.testing.assert_array_equal(clipped(pixels, 0.0, 1.0), [[-1.0, 0.0, 0.0, 0.5, 1.0, 1.0, 3.0]])
    np.testing.assert_array_equal(clipped(pixels, -2.0, 4.0), pixels)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_no_number_is_named(value: float) -> None:
    images = IMAGES.copy()
    images[7, 1, 2, 0] = value
    with pytest.raises(
        ValueError, match=rf"^batch 1, image 7 is {value} at \(1, 2, 0\); every pixel must be a finite number$"
    ):
        list(batches(images, 5, SHAPE))
