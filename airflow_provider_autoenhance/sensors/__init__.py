"""Airflow sensors for Autoenhance.ai."""
