"""What `provider` may name, and what follows from an address for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from protean.config.installed import BROKERS, DATABASES, installed, unknown
from protean.config.uri import Uri
from protean.suggestion import did_you_mean


@dataclass(frozen=True, slots=True)
class Providers:
    """Of databases, or of brokers: `own` come with protean, those of other packages are in `group`.

    `schemes` are what addresses of our own begin with, which stand at the option `key`. Everything here raises
    ValueError with what is to be said.
    """

    own: tuple[str, ...]
    group: str
    key: str
    schemes: Mapping[str, str]

    def inferred(self, values: Any) -> Any:
        """The section with the provider that its address shows, where the two go together.

        A provider that nobody brings is refused as a contradiction: what is not in force may be installed where it is.
        """
        if not isinstance(values, Mapping) or not isinstance(values.get(self.key, ""), str):
            return values
        uri, provider = Uri(values.get(self.key, "")), values.get("provider")
        if isinstance(provider, str) and provider not in self.own:
            if self._misspelt(provider) or provider in installed(self.group):
                return values  # of the first, the field itself will say so
            raise ValueError(unknown(provider, self.group, self.own))
        if not uri:
            if provider != "memory" and provider in self.own:
                raise ValueError(f'provider "{provider}" needs `{self.key}`')
            return values
        inferred = self.schemes.get(uri.scheme)
        if inferred is None:
            shown = provider is None and uri.scheme in installed(self.group)
            return {**values, "provider": uri.scheme} if shown else values  # else the field itself will say so
        if provider is None:
            return {**values, "provider": inferred}
        if provider in self.own and provider != inferred:
            raise ValueError(f'provider "{provider}" does not go with `{self.key}`, which is one of {inferred}')
        return values

    def spelt(self, provider: str) -> str:
        """The name, unless it is one of our own misspelt: that is told also where it is not in force."""
        if self._misspelt(provider):
            raise ValueError(unknown(provider, self.group, self.own))
        return provider

    def checked(self, uri: Uri, provider: str) -> Uri:
        """The address, if its scheme is known; other packages' are their own affair."""
        if uri and provider in self.own and uri.scheme not in self.schemes:
            known = ", ".join(self.schemes)
            raise ValueError(f"must begin with one of {known}{did_you_mean(uri.scheme, self.schemes)}")
        return uri

    def refuse_options(self, provider: str, options: Mapping[str, Any]) -> None:
        """Our own adapters have an option of the section for everything."""
        if options and provider in self.own:
            raise ValueError(f'`options` are for adapters of other packages; provider "{provider}" takes none')

    def _misspelt(self, provider: str) -> bool:
        close = provider not in self.own and did_you_mean(provider, self.own)
        return bool(close) and provider not in installed(self.group)


DATABASE: Final = Providers(
    own=("memory", "sqlite", "postgresql"),
    group=DATABASES,
    key="database_uri",
    schemes={
        "embedded": "postgresql",
        "postgresql": "postgresql",
        "postgres": "postgresql",
        "sqlite": "sqlite",
        "memory": "memory",
    },
)
BROKER: Final = Providers(
    own=("memory", "redis"),
    group=BROKERS,
    key="uri",
    schemes={"embedded": "redis", "redis": "redis", "rediss": "redis", "unix": "redis", "memory": "memory"},
)
