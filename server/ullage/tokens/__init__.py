"""Exact counting: vocabularies, templates, counters, caches."""
