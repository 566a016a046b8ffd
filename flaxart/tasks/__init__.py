"""What a task is: its kind, loss, counts, scores."""
