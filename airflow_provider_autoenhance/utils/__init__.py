"""What operators share with other parts of Airflow: assets and OpenLineage."""
