"""Where protean meets other frameworks, a package each. Their drivers are extras."""
