"""The documents, and the generator of those that are made from code."""
