"""What every other package uses: errors, names of classes, YAML, progress, and the types of options."""
