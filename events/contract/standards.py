"""By which standards the contract is written, and what its schemas are called. Imports nothing."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI = "3.0.0"
ROOT = "https://jobrelay.dev/schemas/v1"
"""Names the schemas (`$id`). Nothing has to be found there: it is a name, not an address."""
