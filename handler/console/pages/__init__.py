"""The pages in HTML: whole, and of use without JavaScript."""
