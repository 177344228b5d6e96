"""What the sandbox remembers from one reset to the next, and the work that it does in the background."""
