"""What the page shows, as models: each is answered as JSON, and rendered as HTML."""
