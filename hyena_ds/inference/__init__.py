"""What a trained model is used for without training it: embeddings, likelihoods, variant effects, new sequences."""
