"""Training of the networks by the published recipes, resumed from the last finished epoch after an interruption."""

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from relu2snn.config.schema import Model, Preprocess, Train
from relu2snn.errors import UserError
from relu2snn.made import Job
from relu2snn.networks.batches import Batches, LabelledImages
from relu2snn.networks.build import build
from relu2snn.networks.checkpoint import Checkpoint
from relu2snn.progress import progress

# Several steps in one call to TensorFlow: the calls cost as much as a small network's arithmetic.
_STEPS_PER_CALL = 32
# How often in an epoch the moving statistics of batch normalisation are made anew, at least.
_MEMORIES = 5


def train(
    model_config: Model,
    train_config: Train,
    dataset: LabelledImages,
    preprocess: Preprocess,
    image_shape: Sequence[int],
    classes: int,
    folder: str | Path,
    key: str,
    *,
    job: Job,
) -> list[dict[str, Any]]:
    """Train a network, write `folder`/trained.keras and history.json, and return the history's epochs.

    Each epoch has its number (from 1), the loss and accuracy on the training images while training (the loss with
    its penalties), test_accuracy, the learning_rate at its end and its seconds. trained.keras is the network for
    inference, without dropout, penalties and optimizer. Both have the stamp of `job`.

    After a kill, the same call continues after the last finished epoch, with the same batches, dropout and
    optimizer state as if nothing had happened; `key` must differ for all other settings and data.

    Raises UserError when the loss becomes infinite or NaN, and for settings that do not fit together.
    """
    folder = Path(folder)
    batches = Batches(dataset, preprocess, train_config.augmentation, train_config.batch, train_config.seed)
    model = _compiled(model_config, train_config, image_shape, classes, batches.steps)
    checkpoint = Checkpoint(folder, key)
    epochs = checkpoint.restore(model, batches.steps)
    bar = _Bar(batches.steps, len(epochs), train_config.epochs)
    for number in range(len(epochs) + 1, train_config.epochs + 1):
        epoch = _run_epoch(model, batches, number, train_config.seed, bar)
        if not math.isfinite(epoch["loss"]):
            checkpoint.remove()
            raise UserError(
                f"training diverged: the loss is {epoch['loss']} in epoch {number}; "
                f"lower train.learning_rate={train_config.learning_rate}"
            )
        epochs.append(epoch)
        checkpoint.save(model, epochs)
        _report(epoch, train_config.epochs)
    bar.close()

    trained = build(model_config, image_shape, classes)
    trained.set_weights(model.get_weights())
    job.write_model(folder / "trained.keras", trained)
    job.write_json(folder / "history.json", {"epochs": epochs})
    checkpoint.remove()
    return epochs


def _norm_momentum(most: float, steps: int) -> float:
    """That of a recipe, or less where an epoch has so few steps that the statistics would still be those before it."""
    return max(0.0, min(most, 1 - _MEMORIES / steps))


def _compiled(
    model_config: Model, train_config: Train, image_shape: Sequence[int], classes: int, steps: int
) -> keras.Model:
    # Keras takes 32 bits; a config's seed may be any natural number.
    keras.utils.set_random_seed(int(np.random.SeedSequence(train_config.seed).generate_state(1)[0]))
    model = build(
        model_config,
        image_shape,
        classes,
        dropout=train_config.dropout,
        activity_l1=train_config.activity_l1,
        # "Weight decay" of the published recipes is an L2 penalty on the kernels of the hidden layers.
        kernel_l2=train_config.weight_decay,
        norm_momentum=_norm_momentum(train_config.norm_momentum, steps),
    )
    model.compile(
        optimizer=_optimizer(train_config),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        # Measured on a CPU, XLA makes a step of 64 images five to eight times slower.
        jit_compile=False,
        steps_per_execution=_STEPS_PER_CALL,
    )
    # Made here, since a graph that makes variables is traced twice.
    model.optimizer.build(model.trainable_variables)
    model.compute_metrics(None, np.zeros(1, np.int64), np.ones((1, classes), np.float32))
    return model


def _optimizer(config: Train) -> keras.Optimizer:
    rate = keras.optimizers.schedules.ExponentialDecay(
        config.learning_rate, config.decay_steps, config.decay_rate, staircase=config.staircase
    )
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=config.nesterov)
    if config.momentum or config.nesterov:
        raise UserError(
            f"train.momentum={config.momentum}, train.nesterov={config.nesterov}: adam has neither; "
            "leave them 0 and false, or take train.optimizer=sgd"
        )
    return keras.optimizers.Adam(rate)


def _run_epoch(model: keras.Model, batches: Batches, number: int, seed: int, bar: "_Bar") -> dict[str, Any]:
    _seed_dropout(model, seed, number)
    start = time.monotonic()
    epochs = {"initial_epoch": number - 1, "epochs": number}
    training = model.fit(batches.train(number), **epochs, shuffle=False, verbose=0, callbacks=[bar]).history
    test = model.evaluate(batches.test(), verbose=0, return_dict=True)
    return {
        "epoch": number,
        "loss": float(training["loss"][0]),
        "accuracy": float(training["accuracy"][0]),
        "test_accuracy": float(test["accuracy"]),
        "learning_rate": float(model.optimizer.learning_rate),
        "seconds": time.monotonic() - start,
    }


def _seed_dropout(model: keras.Model, seed: int, epoch: int) -> None:
    """Make the dropout of an epoch a function of (seed, epoch): Keras saves no states of random generators."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    # A stream of its own, apart from the one that orders the batches.
    seeds = np.random.default_rng([seed, epoch, 1]).integers(2**31, size=len(layers))
    for layer, value in zip(layers, seeds, strict=True):
        layer.seed_generator.state.assign([int(value), 0])


def _report(epoch: dict[str, Any], last: int) -> None:
    tqdm.write(
        f"epoch {epoch['epoch']}/{last}: loss {epoch['loss']:.4f}, accuracy {epoch['accuracy']:.4f}, "
        f"test accuracy {epoch['test_accuracy']:.4f}, {epoch['seconds']:.1f} s",
        file=sys.stderr,
    )


class _Bar(keras.callbacks.Callback):
    """One progress bar over the steps of all epochs still to run; Keras reports several steps at once."""

    def __init__(self, steps: int, done: int, epochs: int) -> None:
        super().__init__()
        self._steps = steps
        self._epoch = done
        numbers = range(done * steps, epochs * steps)
        self._bar = iter(progress(numbers, len(numbers), "training", "step"))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        last = self._epoch * self._steps + batch
        for number in self._bar:
            if number >= last:
                break

    def close(self) -> None:
        for _ in self._bar:
            pass
