"""HTTP/1.1 to one server, for answers that are read whole; start at `pool`. Knows neither Kubernetes nor credentials.

Ours because it costs less than half of what aiohttp's client does, and creating Jobs is mostly that. llhttp reads the
answers. What is read piece by piece (watches, logs), or goes through a proxy, is aiohttp's.
"""
