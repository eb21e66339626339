"""Who may look and who may act: tokens, proxies, sessions, and what forged requests lack."""
