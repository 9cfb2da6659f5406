"""What the rules and `check`, `plan` and `new-task` ask about a run."""
