"""``make e2e-celery``: what docker-compose.yaml starts, run natively on loopback, and attacked."""
