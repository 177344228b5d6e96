"""Exposures that become one photo: the rules that group them, the remote orders that hold them, and the call that merges them."""
