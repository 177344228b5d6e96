"""A local Autoenhance with an S3 beside it, to try, test and measure against.

Start it with ``python -m airflow_provider_autoenhance.sandbox``. It follows the vendor's HTTP contract, really enhances
photos, keeps accounts (``GET /sandbox/ledger``) and fails on demand (``POST /sandbox/faults``). It imports nothing else
of the package, so that a mistake cannot hide on both sides of the wire. It needs the extra ``sandbox``.

Its rooms, lowest first; each imports only those before it: ``errors``, ``photo`` (pixels), ``state`` (what it remembers and works
on), ``http`` (requests and faults), ``store`` (where bytes lie), ``api`` (the endpoints), ``server``.

The vendor calls one file of a bracketed shot a "bracket". Here, as among photographers, that file is an *exposure*, and a bracket
is the set of exposures that become one photo. Paths, fields and the ledger keep the vendor's word.
"""
