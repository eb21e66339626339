"""Runs the containers of pods as local processes; start at `kubelet`. Imports no api."""
