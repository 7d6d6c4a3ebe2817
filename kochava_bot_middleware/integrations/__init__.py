"""Adapters for web frameworks and HTTP clients, one module each, named after the library."""
