"""What everything stands on: errors, names of classes, YAML, progress, and the types of options."""
