"""The paper: compares published and sound scoring of several tasks."""
