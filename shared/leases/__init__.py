"""The book of agents' leases, which all API processes of a deployment share."""
