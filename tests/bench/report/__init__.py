"""What is done with figures: tables, pictures, and the page."""
