"""Drawn data: street signs, clips, landmarks, and the vehicles and pedestrians of the track."""
