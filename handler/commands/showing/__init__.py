"""What people see of lifecycle events; start at `show`. Changes nothing."""
