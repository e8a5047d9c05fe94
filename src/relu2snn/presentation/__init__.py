"""What results look like: tables, the report, and what MLflow and the figures show of the files of a run."""
