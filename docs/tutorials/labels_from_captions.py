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
# # Labels from captions
#
# Photographs often lie in a tree of categories ("Notre-Dame / West facade / Portals") and have captions. Both name what
# is shown, for nothing, and both are sometimes wrong. This tutorial turns them into votes, merges the votes, and looks
# how far the result can be trusted. It draws its own photographs and downloads nothing; it takes about a minute.

# %%
import subprocess
import textwrap

import matplotlib.pyplot as plt
import pandas as pd

import secondlook as sl

# %% [markdown]
# ## The collection
#
# `scenes draw` draws six landmarks in the layout of WikiScenes: a folder per category, with `category.json` files that
# hold the captions. 15 % of the captions name something that is not in the photograph, and 60 % say too little.

# %%
options = "{landmarks: 6, views: 3, vague: 0.6, wrong: 0.15}"
subprocess.run(
    ["secondlook", "scenes", "draw", "--out", "collection", "--truth", "truth", "--options", options], check=True
)
subprocess.run(["secondlook", "scenes", "index", "collection/cathedrals", "--out", "index"], check=True)
photographs = pd.read_parquet("index/images.parquet")
photographs[["levels", "caption"]].head()

# %% [markdown]
# `levels` are the names of the categories from the landmark down to the photograph.

# %%
figure, places = plt.subplots(1, 4, figsize=(9, 3))
for axes, (_, row) in zip(places, photographs.iloc[::45].iterrows(), strict=False):
    axes.imshow(plt.imread(row["path"]))
    axes.set_title("\n".join(textwrap.wrap(row["caption"], 24)), fontsize=7)
    axes.set_axis_off()

# %% [markdown]
# ## Three labelers that read
#
# `scenes text` looks for the words of a vocabulary in the name of the category that holds the photograph
# (`text_leaf`), in the caption (`text_caption`) and in the categories above (`text_ancestor`). Who finds no word
# abstains.

# %%
subprocess.run(
    ["secondlook", "scenes", "text", "index/images.parquet", "--out", "text", "--truth", "truth/images.csv"], check=True
)
names = ["text_leaf", "text_caption", "text_ancestor"]
votes = pd.concat([pd.read_parquet(f"text/{name}.parquet") for name in names], ignore_index=True)
votes = votes.rename(columns={"instance_id": "item", "labeler": "worker"})
votes.pivot_table(index="worker", columns="status", values="item", aggfunc="count", fill_value=0)

# %% [markdown]
# The photographs were drawn, so the truth is known. How often is each labeler right? `selective_accuracy` counts only
# the photographs that it answered; `_low` and `_high` are the ends of its 95 % interval.

# %%
instances = pd.read_parquet("text/instances.parquet")
columns = ["method", "n", "coverage", "selective_accuracy", "selective_accuracy_low", "selective_accuracy_high"]
sl.evaluate(votes, instances)[columns].round(3)

# %% [markdown]
# ## One label per photograph
#
# No labeler answers all photographs. The consensus of the three does, as far as anybody spoke, and says how sure it is.

# %%
labels = sl.consensus(votes, method="dawid_skene")
scores = sl.evaluate(pd.concat([votes, labels.assign(worker="consensus")]), instances)
scores[columns].round(3)

# %% [markdown]
# Where do mistakes lie? Mostly where the confidence is low, so a person who looks at these photographs first finds most
# of the wrong labels early. `size` counts photographs, `mean` is the share that is right.

# %%
truth = instances.set_index("instance_id")["truth"]
labels["right"] = labels["label"] == labels["item"].map(truth)
labels["confident"] = labels["confidence"] > 0.5
labels.groupby("confident")["right"].agg(["size", "mean"]).round(3)

# %% [markdown]
# ## With your own photographs
#
# - Lay them out like WikiScenes (`docs/scenes.md` says how), and write the words that name your classes into a
#   vocabulary file; `secondlook scenes mine` finds candidates in captions.
# - Without any tree, votes from captions alone are a table of `item`, `worker` and `label`: that is all that
#   `sl.consensus` needs.
# - Photographs that share 3D points must agree. `secondlook scenes consistency` checks this, and
#   `secondlook run scenes` trains a network on these labels and finds masks.
