"""From an Airflow connection to a client: AutoenhanceHook for workers, AutoenhanceAsyncHook for the triggerer."""

DEFAULT_CONN_ID = "autoenhance_default"

#: Seconds between two polls of an image or an order that a task waits for.
DEFAULT_POLL_INTERVAL = 20.0
