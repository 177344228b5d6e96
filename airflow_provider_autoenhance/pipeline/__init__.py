"""From a plan to paid, landed photos: what operators share, free of Airflow's task machinery."""
