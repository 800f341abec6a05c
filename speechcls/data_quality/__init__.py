"""What is wrong with a data set: levels, duplicates, leaks between splits, label errors."""
