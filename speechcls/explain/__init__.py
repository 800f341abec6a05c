"""What happens inside a network on one clip, gate by gate."""
