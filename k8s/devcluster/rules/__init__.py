"""What Kubernetes accepts, fills in and refuses; start at `pods`. Pure: of devcluster, imports only its plain data."""
