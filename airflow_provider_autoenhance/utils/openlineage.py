"""OpenLineage: from which folders photos came and where they went. Asked for only where Airflow's OpenLineage provider is installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage  # type: ignore[import-not-found, unused-ignore]

    from airflow_provider_autoenhance.storage.naming import DatasetName

#: Datasets that one task names at most. They are folders, never photos.
MAX_DATASETS = 100


@dataclass(frozen=True)
class Moved:
    """What a task has moved.

    :param sources: URIs of folders (ending in ``/``) and files that it read.
    :param destinations: the same, of what it wrote.
    :param files: how many it wrote.
    :param size: bytes that it wrote.
    """

    sources: tuple[str, ...] = field(default=(), repr=False)
    destinations: tuple[str, ...] = ()
    files: int = 0
    size: int = 0


class LineageMixin:
    """Of an operator that notes in ``execute`` what it moved."""

    _moved: Moved | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Describe to OpenLineage what ``execute`` noted, without network calls.

        :returns: source folders as inputs, destination folders as outputs; ``None`` where nothing was moved.
        """
        if self._moved is None:
            return None
        from airflow.providers.common.compat.openlineage.facet import (
            Dataset,
            OutputDataset,
            OutputStatisticsOutputDatasetFacet,
        )
        from airflow.providers.openlineage.extractors import OperatorLineage

        moved = self._moved
        outputs = _folders(moved.destinations)
        # Counts are known for all outputs together, so only a single one can have them.
        statistics: dict[str, Any] = {
            "outputStatistics": OutputStatisticsOutputDatasetFacet(size=moved.size, fileCount=moved.files)
        }
        return OperatorLineage(
            inputs=[Dataset(namespace, name) for namespace, name in _folders(moved.sources)],
            outputs=[
                OutputDataset(namespace, name, outputFacets=statistics if len(outputs) == 1 else {})
                for namespace, name in outputs
            ],
        )


def _folders(uris: Iterable[str]) -> list[DatasetName]:
    from airflow_provider_autoenhance.storage.naming import dataset_name, folder_of

    return list(dict.fromkeys(dataset_name(folder_of(uri)) for uri in uris))[:MAX_DATASETS]
