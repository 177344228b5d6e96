"""Airflow triggers for Autoenhance.ai."""
