"""MLflow as a view of the result files: logging the same result again updates its run.

This is the only part that imports mlflow, and it does so late, since that takes seconds.
"""

from relu2snn.tracking.record import DataSet, Metric, Model, Record
from relu2snn.tracking.runs import log_experiment, log_sweep
from relu2snn.tracking.store import Store

__all__ = ["DataSet", "Metric", "Model", "Record", "Store", "log_experiment", "log_sweep"]
