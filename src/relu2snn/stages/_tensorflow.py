"""Imports TensorFlow, which `relu2snn` makes silent, with the threads of the job; import it before anything else."""

import os
import sys

from relu2snn.stages import _ending

# Importing takes seconds, in which a stage may be told to end.
_ending.begin()
# Snakemake sets OMP_NUM_THREADS to the threads of the rule; TensorFlow and numba read names of their own.
for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NUMBA_NUM_THREADS"):
    if "OMP_NUM_THREADS" in os.environ:
        os.environ.setdefault(_name, os.environ["OMP_NUM_THREADS"])
# Keras imports these where it finds them, for plots and other libraries' data: nearly half of a stage's start, and no
# stage's use of Keras.
_OPTIONAL = ("sklearn", "matplotlib", "cv2", "pandas", "pyarrow", "PIL", "IPython")
_left_out = [name for name in _OPTIONAL if name not in sys.modules]
# What stands as None cannot be imported.
sys.modules.update(dict.fromkeys(_left_out))  # type: ignore[arg-type]

import tensorflow  # noqa: E402, F401

for _name in _left_out:
    del sys.modules[_name]
