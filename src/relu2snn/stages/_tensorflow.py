"""Imports TensorFlow without its start-up notices, which no log level silences; import it before anything else."""

import os
import sys

from relu2snn.stages import _ending

# Importing takes seconds, in which a stage may be told to end.
_ending.begin()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Snakemake sets OMP_NUM_THREADS to the threads of the rule; TensorFlow and numba read names of their own.
for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NUMBA_NUM_THREADS"):
    if "OMP_NUM_THREADS" in os.environ:
        os.environ.setdefault(_name, os.environ["OMP_NUM_THREADS"])

sys.stderr.flush()
_stderr, _null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(_null, 2)
try:
    import tensorflow as tf

    # Finding no GPU is only said when the devices are first listed.
    tf.config.list_physical_devices()
finally:
    os.dup2(_stderr, 2)
    os.close(_null)
    os.close(_stderr)
