"""The steps of the workflow: config in, files out. `python -m relu2snn.stages` lists them and runs one."""
