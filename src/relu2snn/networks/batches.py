"""Batches for training: read from the memory-mapped images as they are needed, shuffled, augmented, preprocessed."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.config.schema import Augmentation, Preprocess
from relu2snn.errors import UserError

_TEST_BATCH = 256


class LabelledImages(Protocol):
    """What training needs of a data set: relu2snn.datasets.ArrayDataset has it."""

    def count(self, split: Literal["train", "test"]) -> int: ...

    def images(self, split: Literal["train", "test"]) -> NDArray[Any]: ...

    def labels(self, split: Literal["train", "test"]) -> NDArray[np.int64] | None: ...


class Batches:
    """Batches of a data set: images (b, h, w, c) as float32 (pixel - mean) / std, labels (b,) as int64.

    The order of an epoch and its augmentation are functions of (seed, epoch) alone, so that training which
    resumes at an epoch sees what it would have seen.
    """

    def __init__(
        self, dataset: LabelledImages, preprocess: Preprocess, augmentation: Augmentation, batch: int, seed: int
    ) -> None:
        self._dataset = dataset
        self._mean, self._std = float(preprocess.mean), float(preprocess.std)
        self._augmentation = augmentation
        self._batch = batch
        self._seed = seed

    @property
    def steps(self) -> int:
        """Batches of an epoch; the last one may be smaller."""
        return -(-self._dataset.count("train") // self._batch)

    def train(self, epoch: int) -> Any:
        """The training images of an epoch as a tf.data.Dataset, shuffled and augmented."""
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(self._dataset.count("train"))
        batches = self._read("train", order, self._batch)
        for layer in augmentation_layers(self._augmentation, random.integers(2**31, size=3).tolist()):
            batches = batches.map(lambda images, labels, layer=layer: (layer(images, training=True), labels))
        return batches.prefetch(tf.data.AUTOTUNE)

    def test(self) -> Any:
        """The test images in their order, as a tf.data.Dataset."""
        order = np.arange(self._dataset.count("test"))
        return self._read("test", order, _TEST_BATCH).prefetch(tf.data.AUTOTUNE)

    def _read(self, split: Literal["train", "test"], order: NDArray[np.int64], batch: int) -> Any:
        images, labels = self._dataset.images(split), self._dataset.labels(split)
        if labels is None:
            raise UserError(f"the {split} images have no labels to train with; add them, or give trained weights")
        shape = images.shape[1:]

        def gather(rows: Any) -> Any:
            return tf.numpy_function(lambda rows: (images[rows], labels[rows]), [rows], (images.dtype, tf.int64))

        def preprocess(images: Any, labels: Any) -> Any:
            pixels = tf.cast(tf.ensure_shape(images, (None, *shape)), tf.float32)
            return (pixels - self._mean) / self._std, tf.ensure_shape(labels, (None,))

        return tf.data.Dataset.from_tensor_slices(order).batch(batch).map(gather).map(preprocess)


def augmentation_layers(augmentation: Augmentation, seeds: Sequence[int]) -> list[Any]:
    """Keras layers for the augmentations that are not zero; what moves in is the nearest pixel.

    `seeds` are three, of the rotation, the shift and the flip.
    """
    rotation, shift, flip = seeds
    layers: list[Any] = []
    if augmentation.rotation:
        layers.append(keras.layers.RandomRotation(augmentation.rotation / 360, fill_mode="nearest", seed=rotation))
    if augmentation.shift:
        fraction = augmentation.shift
        layers.append(keras.layers.RandomTranslation(fraction, fraction, fill_mode="nearest", seed=shift))
    if augmentation.flip:
        layers.append(keras.layers.RandomFlip("horizontal", seed=flip))
    return layers
