"""The shapes of the API, by noun: what is taken in, and what is answered."""
