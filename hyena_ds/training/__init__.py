"""Pretraining: the run's config, its stages, the loop, validation and what it reports."""
