"""Doing what a plan says: threads, waiting, the steps of one photo, and the books."""
