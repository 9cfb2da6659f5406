"""The pilot: every labeler of a task on a few objects, with the resources of the real run."""
