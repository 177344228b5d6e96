"""Pixels: what is decoded, merged, enhanced and rendered."""
