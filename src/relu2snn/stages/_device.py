"""Which device a stage computes on: it takes a GPU where TensorFlow finds one."""

import os
import sys

import tensorflow as tf


def device() -> str:
    """The names of the GPUs that TensorFlow uses, or "CPU"."""
    found = [tf.config.experimental.get_device_details(each) for each in tf.config.list_physical_devices("GPU")]
    return ", ".join(str(each.get("device_name", "GPU")) for each in found) or "CPU"


def say_device(title: str) -> None:
    """A line of the log: what the stage runs on, with how many threads."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS") or str(os.cpu_count())
    print(f"{title}: on {device()}, {threads} thread{'s' * (threads != '1')}", file=sys.stderr, flush=True)
