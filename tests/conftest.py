"""Settings and networks that several tests share."""

import os

from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# How long an example takes says nothing about the code on a busy machine.
settings.register_profile("relu2snn", deadline=None)
settings.load_profile("relu2snn")
