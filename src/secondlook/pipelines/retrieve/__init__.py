"""Pipeline `retrieve`: image search by text (CVPR 2023 1st Foundation Model Challenge, track 2)."""
