# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Boxes from a clip
#
# There are clips of a street, and nobody has drawn a box. What moves can be found without any label: this is the first
# step of MOD-UV (arXiv 2405.14841). The result is a dataset of boxes and masks, with tracks through the frames. This
# tutorial draws its own clips; it downloads nothing and takes less than a minute.

# %%
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from safetensors.numpy import load_file

import secondlook as sl

# %% [markdown]
# ## Clips
#
# Eight clips of six frames, drawn from a camera that moves. Some cars and people move, others stand.

# %%
options = "{clips: 6, val: 2, frames: 6}"
subprocess.run(["secondlook", "video", "draw", "--out", "clips", "--truth", "truth", "--options", options], check=True)
subprocess.run(
    ["secondlook", "video", "frames", "clips", "--out", "frames.json", "--options", "{stride: 1}"], check=True
)
frames = sorted(Path("clips/clip_000").iterdir())
frames

# %% [markdown]
# ## What moves
#
# `motion` compares each frame with the next: OpenCV's optical flow, minus the motion of the camera, gives the
# probability that a pixel moves by itself. The depth tells things apart that overlap; here it is that of the drawing.

# %%
depth = "{depth: truth}"
subprocess.run(
    ["secondlook", "video", "motion", "frames.json", "--out", "motion", "--truth", "truth", "--options", depth],
    check=True,
)
moves = load_file("motion/clip_000.safetensors")["motion_prob"]  # (frames, height, width)
figure, places = plt.subplots(1, 2, figsize=(10, 3.5))
places[0].imshow(plt.imread(frames[0]))
places[1].imshow(moves[0].astype(float), cmap="magma", vmin=0, vmax=1)
for axes in places:
    axes.set_axis_off()

# %% [markdown]
# ## Boxes and tracks
#
# `group` joins the pixels that move, with a probability of 0.5 or more, into objects; `boxes` follows them from frame
# to frame and writes one COCO file, which Second Look reads like any other dataset.

# %%
threshold = "{threshold: 0.5}"
subprocess.run(
    [
        "secondlook",
        "video",
        "group",
        "frames.json",
        "--motion",
        "motion",
        "--out",
        "moving.json",
        "--options",
        threshold,
    ],
    check=True,
)
subprocess.run(["secondlook", "video", "boxes", "moving.json", "--out", "boxes.json", "--score", "0"], check=True)
boxes = sl.read("boxes.json")
boxes[["image_path", "given", "x", "y", "w", "h", "track"]].head()

# %%
path = str(frames[0])
figure, axes = plt.subplots(figsize=(7, 4.5))
axes.imshow(plt.imread(path))
for row in boxes[boxes["image_path"] == path].itertuples():
    axes.add_patch(plt.Rectangle((row.x, row.y), row.w, row.h, fill=False, edgecolor="orange", linewidth=2))
axes.set_axis_off()

# %% [markdown]
# `track` is the same for all boxes of one thing in a clip.

# %%
tracks = boxes.groupby("track").agg(frames=("w", "size"), width_px=("w", "mean"))
tracks = tracks.sort_values(["frames", "width_px"], ascending=False)
tracks.head()

# %% [markdown]
# The first of these, frame by frame:

# %%
longest = boxes[boxes["track"] == tracks.index[0]].sort_values("image_path")
figure, places = plt.subplots(1, len(longest), figsize=(10, 2))
for axes, row in zip(places, longest.itertuples(), strict=True):
    axes.imshow(plt.imread(row.image_path)[int(row.y) : int(row.y + row.h), int(row.x) : int(row.x + row.w)])
    axes.set_axis_off()

# %% [markdown]
# ## How good is it?
#
# The clips were drawn, so all objects are known.

# %%
subprocess.run(
    ["secondlook", "video", "evaluate", "--round", "moving=moving.json", "--truth", "truth", "--out", "evaluate"],
    check=True,
)
pd.read_csv("evaluate/rounds.csv").round(3)

# %% [markdown]
# `recall` is the share of the `n` objects of a kind that have a mask: nearly all that move, and none that stand. To
# find these, a detector learns from the boxes above: what stands looks like what moves elsewhere. In a project,
# `secondlook run video` trains it in four rounds, on drawn clips too; that takes a few minutes.

# %% [markdown]
# ## With your own clips
#
# - `frames` takes video files and folders of frames. Leave `--truth` out, and choose `depth: constant`, or
#   `depth: model` for a depth model.
# - Name your clips under `video` in config.yaml, and `secondlook run video` does all steps (`docs/video.md`).
# - The boxes have no class yet: all are `object`. `docs/video.md` says how a task with labelers names what is in them.
