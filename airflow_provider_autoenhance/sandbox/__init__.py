"""
A local Autoenhance with an S3 beside it, to try, test and measure against.

Start it with ``python -m airflow_provider_autoenhance.sandbox``. It follows the vendor's HTTP contract, really enhances
photos, keeps accounts (``GET /sandbox/ledger``) and fails on demand (``POST /sandbox/faults``). It imports nothing else
of the package, so that no mistake can hide on both sides of the wire. Needs the extra ``sandbox``.
"""
