"""A trained model -> predictions, features, heat maps; and the bundle that holds it."""
