"""The values of the Helm chart as a JSON Schema (draft-07): start at `schema.page`."""
