"""The documents: what in them is generated (start at `generated`), and tests that all of them are true.

Imports everything that is described, and no other tests.
"""
