"""Airflow plugins for Autoenhance.ai."""
