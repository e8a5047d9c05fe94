"""Imports TensorFlow, which `relu2snn` makes silent, with the threads of the job; import it before anything else."""

import os

from relu2snn.stages import _ending

# Importing takes seconds, in which a stage may be told to end.
_ending.begin()
# Snakemake sets OMP_NUM_THREADS to the threads of the rule; TensorFlow and numba read names of their own.
for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NUMBA_NUM_THREADS"):
    if "OMP_NUM_THREADS" in os.environ:
        os.environ.setdefault(_name, os.environ["OMP_NUM_THREADS"])

import tensorflow  # noqa: E402, F401
