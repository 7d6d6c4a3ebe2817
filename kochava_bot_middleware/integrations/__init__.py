"""One module a host framework, named after it; each is thin over the framework-free core."""
