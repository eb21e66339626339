"""Runs the containers of pods as processes of this machine; start at `kubelet`. Imports no api."""
