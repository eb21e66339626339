"""The controllers that Jobs need; start at `jobs`. Imports no kubelet and no api."""
