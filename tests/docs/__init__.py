"""The documents: the parts that are generated (start at `generated`), and tests that every page is true.

May import everything that the documents describe, but no other tests.
"""
