"""Airflow task decorators for Autoenhance.ai."""
