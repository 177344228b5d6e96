"""From an Airflow connection to a client: AutoenhanceHook for workers, AutoenhanceAsyncHook for the triggerer."""

DEFAULT_CONN_ID = "autoenhance_default"
