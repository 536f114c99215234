"""The pages of people: sign-in, preferences, addresses, unsubscribing, why something came."""
