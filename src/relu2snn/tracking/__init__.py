"""MLflow as a view of the result files: logging the same result again updates its run.

Only this part and `ui` import mlflow; this one does so late, since that takes seconds.
"""

from relu2snn.tracking.failures import explained
from relu2snn.tracking.record import DataSet, Metric, Model, Record
from relu2snn.tracking.runs import log_experiment, log_sweep
from relu2snn.tracking.store import Store, follow_folder, load_mlflow, require_database
from relu2snn.tracking.views import results_state

__all__ = [
    "DataSet",
    "Metric",
    "Model",
    "Record",
    "Store",
    "explained",
    "follow_folder",
    "load_mlflow",
    "log_experiment",
    "log_sweep",
    "require_database",
    "results_state",
]
