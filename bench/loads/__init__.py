"""What `python -m bench --loads` names, but the reads: each module runs one group of workloads on a running system."""
