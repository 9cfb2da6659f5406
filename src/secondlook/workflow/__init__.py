"""What the rules and `check`, `plan` and `new-task` need of a run."""
