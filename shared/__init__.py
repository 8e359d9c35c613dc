"""What every Switchdesk service shares: the vocabulary, the contracts, and the ports to log, content and views.

Nothing here imports a service.
"""
