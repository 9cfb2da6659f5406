"""Pipeline `retrieve`: crops by words (CVPR 2023 1st Foundation Model Challenge, track 2)."""
