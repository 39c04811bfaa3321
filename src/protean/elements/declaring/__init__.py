"""The decorators of a domain, one module a family. Each may be used bare or with options."""
