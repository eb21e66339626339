"""From requests to manifests; start at `job.render`. Sends nothing; imports no api, informer or election."""
