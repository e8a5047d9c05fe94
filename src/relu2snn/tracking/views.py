"""How the UI lists the runs of an MLflow experiment: a view with the results in columns.

A server's UI offers it under "Views" and reads it from a tag of the experiment; what it does not name is as the UI's
default. `relu2snn.ui` gives it to the browser as what was last chosen, so that it is there without being asked for.
"""

import json

VIEW_TAG = "mlflow.sharedViewState.relu2snn-results"

# Metrics, and how wide their columns are in pixels, so that a window of usual width shows all.
_COLUMNS = {
    "accuracy_original": 135,
    "accuracy": 90,
    "agreement": 100,
    "exact": 70,
    "latency": 90,
    "certified": 90,
    "early_spikes": 105,
    "spiking_fraction": 125,
}


def results_view() -> str:
    """The value of the tag `VIEW_TAG`."""
    # No date, so that the same view is the same text.
    return json.dumps({"name": "Results", "createdAt": 0, "updatedAt": 0, "state": results_state()})


def results_state() -> str:
    """What the UI keeps of the table of an experiment's runs, as JSON."""
    results = {f"metrics.`{metric}`": width for metric, width in _COLUMNS.items()}
    # The box to tick; a name with one or two changed values.
    first = {"0": 73, "attributes.`Run Name`": 260}
    state = {
        "selectedColumns": list(results),
        "columnOrder": [*first, "runDateAndNestInfo", *results, "duration"],
        "columnWidths": first | results,
    }
    return json.dumps(state)
