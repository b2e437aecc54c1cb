"""Metrics in the text format of Prometheus, collected at each request."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ssm_cli.commands.records import each_node
from ssm_cli.http.calling import Calling
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import NodeView

MOST_NODES = 1000  # nodes with a label of their own; the others are added up as `other`
OTHER = "other"


class TreeCollector(Collector):
    """The metrics of a tree, by node, with at most `MOST_NODES` values of the label `node`."""

    def __init__(self, node: Node, calling: Calling) -> None:
        self._node = node
        self._calling = calling

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        views = list(each_node(self._node.tree()))
        yield _family(CounterMetricFamily("ssm_steps", "Steps", labels=["node"]), [
            (v, v.steps) for v in views if v.kind == "worker"
        ])  # fmt: skip
        busy = CounterMetricFamily(
            "ssm_step_seconds", "Seconds in steps, of a pure step by every 64th", labels=["node"]
        )
        yield _family(busy, [(v, v.busy_s) for v in views if v.kind == "worker"])
        yield _family(CounterMetricFamily("ssm_restarts", "Restarts", labels=["node"]), [
            (v, v.restarts) for v in views
        ])  # fmt: skip
        yield _family(GaugeMetricFamily("ssm_queue_depth", "Inputs waiting", labels=["node"]), [
            (v, v.queue) for v in views if v.kind == "worker"
        ])  # fmt: skip
        yield _family(GaugeMetricFamily("ssm_running", "1 if it runs", labels=["node"]), [
            (v, v.state in ("running", "suspended")) for v in views
        ])  # fmt: skip
        budget = GaugeMetricFamily("ssm_budget_left", "Restarts left in period", labels=["node"])
        yield _family(budget, [(v, v.budget_left or 0) for v in views if v.kind == "supervisor"])
        uptime_s = views[0].uptime_s
        yield GaugeMetricFamily("ssm_uptime_seconds", "Since the root started", uptime_s)
        yield CounterMetricFamily("ssm_reports", "Reports", self._node.last_seq)
        lost = "Messages that reached nobody"
        yield CounterMetricFamily("ssm_dropped", lost, self._node.dropped)
        stored = self._node.stored()
        if stored is not None:
            yield GaugeMetricFamily("ssm_storage_bytes", "Room of what is kept", stored[0])
            yield CounterMetricFamily("ssm_records", "Records of the journal", stored[1])
            failing = self._node.storage_error is not None
            yield GaugeMetricFamily("ssm_storage_failing", "1 if it cannot write", failing)
        calling = self._calling
        yield SummaryMetricFamily(
            "ssm_call_seconds", "Calls over HTTP, from request to outcome",
            count_value=calling.calls, sum_value=calling.call_seconds,
        )  # fmt: skip


def _family(
    family: CounterMetricFamily | GaugeMetricFamily, values: list[tuple[NodeView, float]]
) -> Metric:
    """Add one sample for each of the first `MOST_NODES` nodes, and one for all others."""
    for view, value in values[:MOST_NODES]:
        family.add_metric([view.path], value)
    if len(values) > MOST_NODES:
        family.add_metric([OTHER], sum(value for _, value in values[MOST_NODES:]))
    return family


def exposition(node: Node, calling: Calling) -> bytes:
    """Return all metrics in the text format of Prometheus, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(TreeCollector(node, calling))
    return generate_latest(registry)
