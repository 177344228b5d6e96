"""Airflow operators for Autoenhance.ai."""
