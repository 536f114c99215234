"""The pages of people: sign-in, account, preferences, addresses, unsubscribing, why a notification came."""
