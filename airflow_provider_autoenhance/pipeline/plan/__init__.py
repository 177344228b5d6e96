"""What to do about each photo: the listing, what is remembered, the decision, and the limits."""
