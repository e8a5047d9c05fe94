"""The type in which slacks are summed, whatever the processor has."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf


def sum_slacks_in(monkeypatch: pytest.MonkeyPatch, slack_type: Any) -> None:
    """Sum them in tf.float32 or tf.bfloat16."""
    bits = (np.uint16, tf.uint16) if slack_type == tf.bfloat16 else (np.uint32, tf.uint32)
    monkeypatch.setattr("relu2snn.spiking.certificate.slack_type", slack_type)
    monkeypatch.setattr("relu2snn.spiking.engine.slack_type", slack_type)
    monkeypatch.setattr("relu2snn.spiking.engine._BITS", bits[0])
    monkeypatch.setattr("relu2snn.spiking.engine._TF_BITS", bits[1])
