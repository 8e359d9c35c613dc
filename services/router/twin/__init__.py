"""A twin of a contact centre: the production engine on a virtual clock, played a day under one policy or several."""
