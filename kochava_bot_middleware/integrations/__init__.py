"""Adapters for web frameworks, one module each, named after the framework."""
