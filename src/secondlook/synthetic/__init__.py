"""Data that the project draws: street signs, clips, landmarks, and the vehicles and people of the track."""
