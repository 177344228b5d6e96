"""HTTP as the sandbox speaks it: who may call, which endpoint is meant, and what goes wrong on the wire."""
