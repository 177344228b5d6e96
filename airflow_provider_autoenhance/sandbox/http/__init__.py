"""Requests: who may call, which endpoint is meant, how each is answered, and what goes wrong on the wire."""
