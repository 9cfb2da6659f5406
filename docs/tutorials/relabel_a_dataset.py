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
# # Relabel a dataset
#
# The objects of a dataset are drawn as boxes, and some of their labels are wrong. Second Look shows each object to
# several labelers, merges their votes into one label with a probability, accepts what is safe, and lists the rest for a
# person. This tutorial does it on street signs that it draws itself; it downloads nothing and takes two minutes.

# %%
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt

import secondlook as sl

# %% [markdown]
# ## The project
#
# `secondlook init` lays a project down in this folder. Its `config.yaml` says what differs from the config that comes
# with Second Look: here a smaller drawing of 60 street scenes. A quarter of the labels are made wrong.

# %%
if not Path("config.yaml").exists():
    subprocess.run(["secondlook", "init"], check=True)
Path("config.yaml").write_text("""\
extends: default
tasks: [demo_signs]
demo: {scenes: 60, reference_per_class: 30}
""")
subprocess.run(["secondlook", "run", "demo", "--", "--cores", "2", "--quiet", "all"], check=True)
sorted(path.name for path in Path("results/demo_signs").iterdir())

# %% [markdown]
# One command did everything: it read the dataset, cut out the objects, trained four small labelers on reference signs
# that were drawn in another style, let them vote, merged the votes, and wrote a report, review pages and the corrected
# dataset. All of it lies in `results/demo_signs`.

# %%
results = sl.open("results/demo_signs")
results

# %%
results.objects[["given", "proposal", "confidence", "action", "label"]].head(8)

# %% [markdown]
# `given` is the label of the dataset, `proposal` that of the labelers together. With the action `keep` or `relabel` no
# person needs to look; with `review` the given label stays until somebody does. `label` is the one that stands.

# %%
results.figures()["actions"]

# %% [markdown]
# ## How good is it?
#
# The signs were drawn, so their truth is known. The first row is the dataset as it was given. Intervals come from
# drawing whole images, because the signs of one image share their difficulty.

# %%
accuracy = results.table("accuracy")
accuracy[["method", "n", "coverage", "accuracy", "accuracy_low", "accuracy_high"]].round(3)

# %%
results.figures()["accuracies"]

# %% [markdown]
# `consensus, accepted` is what no person needs to check: compare its accuracy with that of `given`.
#
# ## The labels that look wrong
#
# The most suspicious labels come first. The images show that the suggestion is what is drawn.

# %%
suspicious = results.table("label_errors")
suspicious[["rank", "image_path", "given", "suggested", "quality"]].head()

# %%
boxes = results.instances.set_index("instance_id")
figure, places = plt.subplots(1, 5, figsize=(10, 2.6))
for axes, (_, row) in zip(places, suspicious.head(5).iterrows(), strict=True):
    box = boxes.loc[row["instance_id"]]
    image = plt.imread(row["image_path"])
    axes.imshow(image[int(box["y"]) : int(box["y"] + box["h"]) + 1, int(box["x"]) : int(box["x"] + box["w"]) + 1])
    axes.set_title(f"given: {row['given']}\nsuggested: {row['suggested']}", fontsize=8)
    axes.set_axis_off()

# %% [markdown]
# ## What is left for people
#
# The queue is in the order in which a look helps most. `secondlook review results/demo_signs --serve` opens it in a
# browser for one person or many.

# %%
results.queue[["rank", "sample", "proposal", "benefit", "reason"]].head()

# %% [markdown]
# A part of the queue is drawn at random from all objects. When people have reviewed enough of it, Second Look can
# guarantee how many labels are wrong at most. Before that it says:

# %%
results.guarantee["sentence"]

# %% [markdown]
# Here the truth can play the person. After 150 random looks:

# %%
reviews = results.instances[["instance_id", "truth"]].rename(columns={"truth": "label"})
reviews = reviews.sample(150, random_state=0).assign(sample="random")
guarantee = sl.guarantee(results.decisions, reviews, alpha=0.1)
guarantee[["held", "n", "found", "upper", "objects", "unchecked", "most"]]

# %%
guarantee.loc[0, "sentence"]

# %% [markdown]
# ## With your own dataset
#
# - `sl.read("path/to/annotations")` shows what Second Look reads from your files; `sl.rejects` shows what it refuses.
# - `secondlook look path/to/annotations` does everything above for your dataset, with labelers that need no training
#   data besides it, and prints every choice with its key in the config.
# - `secondlook new-task path/to/annotations --out tasks/mine.yaml` writes a task file to edit, `secondlook check mine`
#   checks it, and `secondlook run mine` runs it.
