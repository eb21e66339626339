"""What operators ask for: checked, and published as CloudEvents that name them."""
