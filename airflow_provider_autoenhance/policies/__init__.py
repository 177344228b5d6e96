"""Airflow policies for Autoenhance.ai."""
