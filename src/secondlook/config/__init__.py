"""`config.yaml`, the task files, and the options of every stage, model and pipeline."""
