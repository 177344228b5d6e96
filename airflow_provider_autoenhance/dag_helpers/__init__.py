"""What DAG files call beside operators and sensors: folders to map over, the report of a night, parameters of the Trigger form."""
