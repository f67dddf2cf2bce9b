"""Pictures and their embeddings -> what may mislead a training or its figures."""
