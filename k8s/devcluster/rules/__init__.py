"""What Kubernetes accepts, adds and refuses; start at `pods`. Pure: imports nothing else in devcluster but its data."""
