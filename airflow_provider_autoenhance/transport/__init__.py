"""Requests on the wire, one library each for workers and triggerer. Loaded when a task runs, never when a DAG file is parsed."""
