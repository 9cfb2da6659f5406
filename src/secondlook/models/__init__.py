"""Networks and what surrounds them: checkpoints, devices, prompts, answers, features."""
