"""The published contract: schemas, AsyncAPI, reference, examples and clients are what the code does."""
