"""A model is data: card, weights, where they come from, how they become a network on a device."""
