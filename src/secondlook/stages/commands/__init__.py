"""The commands of the stages, a module each; they import their stage only when they run."""
