"""Observers of the package at work: metrics and spans, both off without their library."""
