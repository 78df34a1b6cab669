"""Statistics: pure functions of arrays. What makes a similarity evidence."""
