"""What a user does with data: train, cross-validate, compare, recommend, check."""
