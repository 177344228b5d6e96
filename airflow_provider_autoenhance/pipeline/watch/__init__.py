"""Which orders have finished since the last look."""
