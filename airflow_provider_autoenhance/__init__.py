"""Apache Airflow provider for Autoenhance.ai."""

__version__ = "0.1.0"
