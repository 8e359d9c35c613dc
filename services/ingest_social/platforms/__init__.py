"""One file per provider: how it signs, how it shakes hands, what it sends, how it is answered."""
