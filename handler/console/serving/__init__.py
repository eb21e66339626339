"""The page as an application of aiohttp: routes, and what holds for every one of them."""
