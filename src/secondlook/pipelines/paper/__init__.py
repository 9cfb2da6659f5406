"""The paper: the published scoring of several tasks and a sound one side by side."""
