"""The parts of the controller manager that Jobs need; start at `jobs`. Imports no kubelet and no api."""
