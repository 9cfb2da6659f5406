"""Read a COCO file as CVAT does, with Datumaro, and write it again: `python datumaro_round_trip.py FILE OUT`."""

import shutil
import sys
from pathlib import Path

import datumaro

source, out = map(Path, sys.argv[1:])
dataset = out.with_name("dataset")
(dataset / "annotations").mkdir(parents=True)
(dataset / "images").mkdir()
shutil.copy(source, dataset / "annotations" / "instances_default.json")
read = datumaro.Dataset.import_from(str(dataset), "coco_instances")
read.export(str(out), "coco_instances", save_media=False)
print(sum(len(item.annotations) for item in read))
