"""Metrics: what a supervisor's status tells, as Prometheus, OpenMetrics and OTLP have it. Pure but for otlp.py.

families.py says which there are (its own page of the documentation is made from it), exposition.py writes them as text.
Whoever has a status as JSON has the metrics: the supervisor itself, `mountctl metrics`, the CSI driver.
"""
