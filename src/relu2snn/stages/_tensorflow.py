"""Imports TensorFlow, which `relu2snn` makes silent, with the threads of the job; import it before anything else."""

import os
import sys


def _name_threads() -> None:
    # Snakemake sets OMP_NUM_THREADS to the threads of the rule; TensorFlow and numba read names of their own.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NUMBA_NUM_THREADS"):
        if "OMP_NUM_THREADS" in os.environ:
            os.environ.setdefault(name, os.environ["OMP_NUM_THREADS"])


def take_threads() -> None:
    """Take the threads that the environment names in a process where all is imported but nothing was computed."""
    import numba
    from threadpoolctl import threadpool_limits

    # TensorFlow makes its threads when it first computes.
    _name_threads()
    numba.config.reload_config()
    threadpool_limits(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))


_name_threads()
# oneDNN trains a convolution network about a third faster, also where TensorFlow does not choose it by itself.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Keras imports these where it finds them, for plots and other libraries' data: nearly half of a stage's start, and no
# stage's use of Keras.
_OPTIONAL = ("sklearn", "matplotlib", "cv2", "pandas", "pyarrow", "PIL", "IPython")
_left_out = [name for name in _OPTIONAL if name not in sys.modules]
# What stands as None cannot be imported.
sys.modules.update(dict.fromkeys(_left_out))  # type: ignore[arg-type]

import tensorflow  # noqa: E402, F401

for _name in _left_out:
    del sys.modules[_name]
