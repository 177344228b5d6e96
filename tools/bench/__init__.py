"""``make bench``: the provider beside what a user would pick instead, and beside the least that any program can do."""
