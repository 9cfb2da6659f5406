"""Pipeline `video`: objects that can move, found in clips without labels (MOD-UV, arXiv 2405.14841)."""
