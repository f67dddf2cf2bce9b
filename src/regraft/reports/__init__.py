"""What was measured -> pages and tables that a person reads."""
