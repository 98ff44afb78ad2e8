"""Runs of training: folder, snapshots, journal."""
