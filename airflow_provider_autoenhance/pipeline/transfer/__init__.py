"""Bytes on their way: a photo to Autoenhance, a result to the files that are wanted of it."""
