"""Parquet: one flat table, a row an object, for pandas and SQL.

The columns of the instances, `image` (its name), `label` (the final one), `label_source` (consensus, person, reference
or undecided), `wording` (the label as the dataset words it), `score` (the posterior of that label), `proposal`,
`posterior` (over the classes), `confidence` (of the proposal), `agreement`, `n_votes`, `action`, `reason`, what the
dataset says of the image (`image_place`, `image_source_id`, `image_tags`), for each labeler `vote_<name>` and
`confidence_<name>`, and with a queue `rank`, `sample`, `sample_probability` and `queue_reason`. The metadata list
images without objects and what is known of the dataset, so that nothing is lost: its classes with their numbers, and
which attributes are no text.
"""

import json
from pathlib import Path

import pyarrow as pa

import secondlook
from secondlook.io import parquetfile, records
from secondlook.io.outputs import EXPORT_RECORD
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.request import Request
from secondlook.stages.export.wordings import in_wordings


def write(corrected: Corrected, path: Path, _: Request) -> None:
    """Write to the open path `path`; the classes are in its metadata."""
    made_by = {**corrected.made_by, "secondlook": secondlook.__version__, "stage": "export"}
    made_by["description"] = corrected.description
    metadata = {
        "secondlook.record": EXPORT_RECORD,
        "secondlook.classes": json.dumps(corrected.classes, ensure_ascii=False),
        records.BACKGROUND_KEY: json.dumps(corrected.background.to_pylist(), ensure_ascii=False),
        "secondlook.made_by": json.dumps(made_by, sort_keys=True),
    }
    if corrected.facts is not None:
        metadata[records.FACTS_KEY] = json.dumps(corrected.facts.to_json(), sort_keys=True, ensure_ascii=False)
    wording = in_wordings(corrected.table, corrected.taxonomy)
    table = corrected.table.append_column("wording", wording).replace_schema_metadata(metadata)
    plain = [field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in table.schema]
    schema = pa.schema(plain, table.schema.metadata)
    order = pa.array(corrected.order)
    parquetfile.write_open_in_order(path, table, order, schema, row_group_size=records.ROW_GROUP)
