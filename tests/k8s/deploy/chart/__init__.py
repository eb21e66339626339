"""The Helm chart: start at `charts.made`."""
