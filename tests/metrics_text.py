"""Reads Prometheus' text for tests: with prometheus_client, an independent judge, if it is there."""

from typing import NamedTuple

_Key = tuple[str, frozenset[tuple[str, str]]]


class Scraped(NamedTuple):
    """The samples, by name and labels."""

    samples: dict[_Key, float]

    def value(self, name: str, **labels: str) -> float:
        """The one sample. Raises KeyError."""
        return self.samples[name, frozenset(labels.items())]


def parsed(text: str, *, openmetrics: bool = False) -> Scraped:
    """Every sample; two of one name and labels are an error."""
    if openmetrics:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
    else:
        from prometheus_client.parser import text_string_to_metric_families as families

    samples: dict[_Key, float] = {}
    for family in families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples, key
            samples[key] = sample.value
    return Scraped(samples)
