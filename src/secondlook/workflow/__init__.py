"""What the rules, `check` and `plan` need of a run."""
