"""The pages in HTML: complete without JavaScript, autoescaped, every text from outside made visible."""
