"""The HTTP contract without HTTP: requests built, responses parsed, settings checked, errors classified."""
