"""Finds the links of an outgoing body and replaces them."""
