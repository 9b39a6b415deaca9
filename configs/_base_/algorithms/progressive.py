"""Progressive columns (section 4.4): a task learns in a column of its own, next to frozen ones."""
model = dict(
    type='multissl_mm.ProgressiveNet', backbone=dict(type='multissl_mm.ProgressiveColumns'))
find_unused_parameters = True  # one column at a time
