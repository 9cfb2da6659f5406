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
# # Images by words
#
# "A white van", "a blue bus": find the images that a description means. A small network learns from images with
# captions which image goes with which text, and then ranks all images for every description. This tutorial draws its
# own vehicles and pedestrians; it downloads nothing and takes two minutes.

# %%
import json
import subprocess
import textwrap

import matplotlib.pyplot as plt
import pandas as pd

import secondlook as sl

# %% [markdown]
# ## Images with captions
#
# The dataset has the layout of the traffic retrieval track of CVPR 2023. `index` reads it into tables.

# %%
sizes = "{train: [400, 200], val: [60, 40], test: [10, 10], type_only: 0.3}"
subprocess.run(["secondlook", "retrieve", "draw", "--out", "track", "--options", sizes], check=True)
subprocess.run(["secondlook", "retrieve", "index", "track", "--out", "index"], check=True)
images = pd.read_parquet("index/train_images.parquet")
images[["path", "kind", "text"]].sample(5, random_state=0)

# %%
figure, places = plt.subplots(1, 5, figsize=(10, 2.4))
for axes, row in zip(places, images.sample(5, random_state=0).itertuples(), strict=True):
    axes.imshow(plt.imread(row.path))
    axes.set_title("\n".join(textwrap.wrap(row.text, 24)), fontsize=7)
    axes.set_axis_off()

# %% [markdown]
# ## A network for images and texts
#
# A recipe says how to train and to rank. This one trains a small CLIP from scratch; with `source: {model: ...}` a
# recipe starts from a published one (`workflow/retrieve/a3r.yaml`).

# %%
recipe = json.dumps(
    {
        "source": {
            "scratch": {
                "px": 64, "width": 16, "dimensions": 128, "text_width": 96, "text_layers": 2, "text_heads": 4,
                "context": 60,
            }
        },
        "transform": {"pad": "none", "resize": "squash"},
        "train": {
            "epochs": 6, "batch_size": 64, "same_text": "ignored", "learning_rate": 0.001, "weight_decay": 0.01,
            "warmup_steps": 10, "precision": "float32",
        },
        "encode_batch": 128,
    }
)  # fmt: skip
options = ["--options", recipe, "--threads", "2"]
subprocess.run(["secondlook", "retrieve", "train", "index", "--out", "model", *options], check=True)
pd.read_csv("model/metrics.csv").tail(3)

# %% [markdown]
# `official` is the mean average precision of the ten best images, as the track counts it, on images that the network
# never saw. It rises from epoch to epoch, although the network knows no more of the world than 600 images.
#
# ## Ask
#
# `encode` turns images into vectors once, and `rank` finds the ten nearest for each description.

# %%
model = ["--split", "val", "--weights", "model", *options]
subprocess.run(["secondlook", "retrieve", "encode", "index", "--out", "val.parquet", *model], check=True)
rank = ["secondlook", "retrieve", "rank", "index", "--vectors", "val.parquet", "--out", "ranked"]
subprocess.run([*rank, *model], check=True)
found = pd.read_parquet("ranked/topk.parquet")
queries = pd.read_parquet("index/val_queries.parquet")
pd.read_csv("ranked/score.csv")

# %%
gallery = pd.read_parquet("index/val_images.parquet").set_index("image")
figure, places = plt.subplots(3, 5, figsize=(10, 6))
for line, row in zip(queries.groupby("kind")["line"].head(2)[:3], places, strict=True):
    text = queries.set_index("line").loc[line, "text"]
    best = found[found["line"] == line].sort_values("rank")["image"].head(5)
    for axes, name in zip(row, best, strict=True):
        axes.imshow(plt.imread(gallery.loc[name, "path"]))
        axes.set_axis_off()
    row[0].set_title("\n".join(textwrap.wrap(text, 90)), fontsize=8, loc="left")

# %% [markdown]
# Each row shows the five images that are nearest to the description above it.
#
# ## Is the colour right?
#
# Some descriptions name a colour and a brand. How often has the best image the right colour, by its own caption? Where
# that names no colour there is no answer; `coverage` says how often there is one, and `selective_accuracy` counts only
# these.

# %%
best = found[found["rank"] == 1].merge(queries, on="line")
best = best[best["form"] == "colour+brand"]
colour_of = gallery.loc[gallery["form"] == "colour+brand", "key"].str.split().str[0]
answers = pd.DataFrame({"item": best["line"], "label": best["image"].map(colour_of)})
truth = pd.DataFrame({"item": best["line"], "truth": best["key"].str.split().str[0]})
columns = ["n", "coverage", "selective_accuracy", "selective_accuracy_low", "selective_accuracy_high"]
sl.evaluate(answers, truth)[columns].round(3)

# %% [markdown]
# ## With your own images
#
# - `secondlook retrieve search results/mine --encoder clip_b32 --text "white van" --sheet found.html` searches the
#   objects of a finished task with a published CLIP, and writes a page of what it finds.
# - The labelers `clip_zeroshot` and `attribute_completion` vote by text: a crop that does not match its label comes up
#   for review.
# - `secondlook run retrieve` is the whole track, with the completion of labels; `docs/retrieve.md` has the details.
