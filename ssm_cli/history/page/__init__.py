"""The page of a history: one HTML file with a lane a worker, that needs nothing but a browser."""

from ssm_cli.history.page.data import PageData, numbered_reports
from ssm_cli.history.page.write import page

__all__ = ["PageData", "numbered_reports", "page"]
