"""A small sound dataset of every reader: trees that can be mutated, and what their files say, read without readers."""

import json

import yaml

from sound_sets.common import NAMES, OBJECTS, SIZES, Entry, SoundSet, Unit, lay, points, stem
from sound_sets.json_files import (
    bdd_says,
    bdd_tree,
    coco_says,
    coco_tree,
    fiftyone_says,
    fiftyone_tree,
    labelme_says,
    labelme_tree,
    labelstudio_says,
    labelstudio_tree,
    vistas_says,
)
from sound_sets.line_files import (
    OPEN_IMAGES,
    TENSORFLOW,
    folders_say,
    fractions_tree,
    kitti_line,
    line_trees,
    lines_say,
    table_says,
    table_tree,
    to_lines,
    visdrone_label,
    visdrone_line,
    yolo_label,
    yolo_line,
)
from sound_sets.row_files import rows_say, rows_to_text, rows_tree, write_rows
from sound_sets.xml_files import cvat_says, cvat_tree, to_xml, video_says, video_tree, voc_says, voc_tree

__all__ = ["SETS", "SIZES", "Entry", "SoundSet", "Unit", "lay"]

_PATCHES = {name: f"patch1/objects365_v1_{number:08d}.jpg" for number, name in enumerate(SIZES)}
SETS = [
    SoundSet("coco", {"x.json": coco_tree()}, json.dumps, coco_says(), "x.json"),
    SoundSet("objects365", {"x.json": coco_tree(_PATCHES)}, json.dumps, coco_says(), "x.json", image_names=_PATCHES),
    SoundSet("roboflow", {"train/_annotations.coco.json": coco_tree()}, json.dumps, coco_says("train/"),
             images="train/{}"),
    SoundSet("bdd100k", {"x.json": bdd_tree()}, json.dumps, bdd_says, "x.json"),
    SoundSet("mapillary", {
        f"val/v2.0/polygons/{stem(image)}.json": {
            "width": SIZES[image][0], "height": SIZES[image][1],
            "objects": [{"label": label, "polygon": points(box)} for label, box in objects],
        } for image, objects in OBJECTS.items()
    }, json.dumps, vistas_says, images="val/images/{}"),
    SoundSet("voc", {f"Annotations/{stem(image)}.xml": voc_tree(image) for image in SIZES}, to_xml, voc_says,
             images="JPEGImages/{}"),
    SoundSet("cvat", {"x.xml": cvat_tree()}, to_xml, cvat_says, "x.xml"),
    SoundSet("cvat", {"x.xml": video_tree()}, to_xml, video_says, "x.xml",
             image_names={name: f"frame_{place:06d}.jpg" for place, name in enumerate(SIZES)}),
    SoundSet("labelme", {f"{stem(image)}.json": labelme_tree(image) for image in SIZES}, json.dumps, labelme_says),
    SoundSet("fiftyone", {"samples.json": fiftyone_tree()}, json.dumps, fiftyone_says, images="data/{}"),
    SoundSet("labelstudio", {"x.json": labelstudio_tree()}, json.dumps, labelstudio_says, "x.json"),
    SoundSet("yolo", {**line_trees("labels/", yolo_line), "data.yaml": {"names": NAMES}},
             lambda tree: yaml.safe_dump(tree) if isinstance(tree, dict) else to_lines(" ")(tree),
             lines_say(yolo_label), images="images/{}"),
    SoundSet("kitti", line_trees("label_2/", kitti_line), to_lines(" "), lines_say(lambda line, _: line.split()[0]),
             images="image_2/{}"),
    SoundSet("visdrone", line_trees("annotations/", visdrone_line), to_lines(","), lines_say(visdrone_label),
             images="images/{}"),
    SoundSet("csv", {"x.csv": table_tree()}, to_lines(","), table_says(TENSORFLOW, "filename", "class"), "x.csv"),
    SoundSet("csv", {"x.csv": fractions_tree()}, to_lines(","),
             table_says(OPEN_IMAGES, "ImageID", "LabelName", ".jpg"), "x.csv"),
    SoundSet("parquet", {"x.parquet": rows_tree()}, rows_to_text, rows_say, "x.parquet", write=write_rows,
             images="images/{}"),
    SoundSet("folders", {}, json.dumps, folders_say, images="car/{}"),
]  # fmt: skip
