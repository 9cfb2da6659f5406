"""Pipeline `scenes`: labels from category trees, captions and 3D points (WikiScenes, ICCV 2021)."""
