"""What the sandbox remembers and works on, from one reset to the next."""
