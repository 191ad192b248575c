"""Operators: one folder each, the plain reference beside the fast paths."""
