"""Evaluations of frozen features; those on mmdet are configs (configs/benchmarks)."""
