"""How the UI lists the runs of an MLflow experiment: a view with the results in columns.

The UI offers it under "Views" and reads it from a tag of the experiment; what it does not name is as the UI's default.
"""

import json

RESULTS_VIEW = "relu2snn-results"
VIEW_TAG = f"mlflow.sharedViewState.{RESULTS_VIEW}"

_COLUMNS = (
    "accuracy_original",
    "accuracy",
    "agreement",
    "exact",
    "certified",
    "early_spikes",
    "latency",
    "spiking_fraction",
)


def results_view() -> str:
    """The value of the tag `VIEW_TAG`."""
    state = {
        "selectedColumns": [f"metrics.`{name}`" for name in _COLUMNS],
        # In pixels; as wide as a name with one or two changed values.
        "columnWidths": {"attributes.`Run Name`": 320},
    }
    # No date, so that the same view is the same text.
    return json.dumps({"name": "Results", "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
