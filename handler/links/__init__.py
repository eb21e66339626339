"""The brokers of a process: connecting, taking requests in, looking whether all is well."""
