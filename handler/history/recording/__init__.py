"""From records of a broker's log to the record."""
