"""How the UI lists the runs of an MLflow experiment: a view with the results in columns.

The UI offers it under "Views" and reads it from a tag of the experiment; what it does not name is as the UI's default.
"""

import json

RESULTS_VIEW = "relu2snn-results"
VIEW_TAG = f"mlflow.sharedViewState.{RESULTS_VIEW}"

# Metrics, and how wide their columns are in pixels, so that a window of usual width shows all.
_COLUMNS = {
    "accuracy_original": 135,
    "accuracy": 90,
    "agreement": 100,
    "exact": 70,
    "certified": 90,
    "early_spikes": 105,
    "latency": 90,
    "spiking_fraction": 125,
}


def results_view() -> str:
    """The value of the tag `VIEW_TAG`."""
    results = {f"metrics.`{metric}`": width for metric, width in _COLUMNS.items()}
    # The box to tick; a name with one or two changed values.
    first = {"0": 73, "attributes.`Run Name`": 260}
    state = {
        "selectedColumns": list(results),
        "columnOrder": [*first, "runDateAndNestInfo", *results, "duration"],
        "columnWidths": first | results,
    }
    # No date, so that the same view is the same text.
    return json.dumps({"name": "Results", "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
