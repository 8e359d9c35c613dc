"""Read models and wake-ups: what the world may see, one document per thing, versioned by the journal's sequence."""
