"""What has our finalizer and is not followed: copies are let go, what has lost its labels is fetched back.

Anybody may copy a Job or CronJob of ours, or change its labels, and nothing else would ever remove the finalizer.
"""
