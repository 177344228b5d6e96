"""The vendor's endpoints, and those of the sandbox itself."""
