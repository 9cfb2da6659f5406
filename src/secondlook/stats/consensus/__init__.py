"""Methods that merge votes into a posterior; `consensus` uses them, and `evaluate` to merge again."""
