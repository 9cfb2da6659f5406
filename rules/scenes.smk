# Labels from captions, categories and 3D points; a network learns from them, and both vote like any other labelers.
from secondlook.pipelines.scenes import run as scenes

SCENES = checked(scenes.PIPELINE.of, RUN)
OF_SCENES = SCENES.folder
OF_NETWORK = f"{OF_SCENES}/network/{{variant}}/{{seed}}"
OF_TRAINING = NEEDS.resources_of(
    lambda wildcards: SCENES.network.training.resources, SCENES.all_resources()
)
OF_INFERENCE = NEEDS.resources_of(
    lambda wildcards: SCENES.network.inference.resources, SCENES.all_resources()
)


wildcard_constraints:
    variant="with_3d|without_3d",
    seed="[0-9]+",


if SCENES.options.drawn is not None:

    rule scenes_draw:
        output:
            tree=directory(SCENES.tree()),
            points=SCENES.correspondences(),
            truth=SCENES.options.truth,
            masks=directory(SCENES.options.masks),
        log:
            "logs/scenes/draw.log",
        benchmark:
            f"{OF_SCENES}/benchmark/draw.tsv"
        conda:
            "../envs/secondlook.yaml"
        threads: 1
        resources:
            mem_mb=per_attempt(1000),
            runtime=per_attempt(30),
        params:
            code=code("pipelines.scenes.steps:draw"),
            data=subpath(output.tree, parent=True),
            folder=subpath(output.truth, parent=True),
            options=as_options(SCENES.options.drawn),
        message:
            "scenes: draw landmarks"
        shell:
            "secondlook scenes draw --out {params.data} --truth {params.folder} --options {params.options:q} 2> {log}"


rule scenes_index:
    input:
        SCENES.tree(),
    output:
        images=f"{OF_SCENES}/index/images.parquet",
        nodes=f"{OF_SCENES}/index/nodes.parquet",
        rejects=f"{OF_SCENES}/index/rejects.parquet",
    log:
        "logs/scenes/index.log",
    benchmark:
        f"{OF_SCENES}/benchmark/index.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(120),
    params:
        code=code("pipelines.scenes.steps:index"),
        folder=subpath(output.images, parent=True),
        options=as_options(SCENES.options.index),
    message:
        "scenes: read the category tree"
    shell:
        "secondlook scenes index {input} --out {params.folder} --options {params.options:q} --threads {threads} 2> {log}"


rule scenes_correspond:
    input:
        source=SCENES.correspondences(),
        images=f"{OF_SCENES}/index/images.parquet",
    output:
        points=f"{OF_SCENES}/points/points.parquet",
        pairs=f"{OF_SCENES}/points/pairs.parquet",
        rejects=f"{OF_SCENES}/points/rejects.parquet",
    log:
        "logs/scenes/correspond.log",
    benchmark:
        f"{OF_SCENES}/benchmark/correspond.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(8000),
        runtime=per_attempt(240),
    params:
        code=code("pipelines.scenes.steps:correspond"),
        folder=subpath(output.points, parent=True),
        shared=SCENES.options.consistency.min_shared,
    message:
        "scenes: read shared points"
    shell:
        "secondlook scenes correspond {input.source} --images {input.images} --out {params.folder} "
        "--min-shared {params.shared} 2> {log}"


rule scenes_text:
    input:
        images=f"{OF_SCENES}/index/images.parquet",
        vocabulary=SCENES.options.vocabulary,
        truth=SCENES.truth(),
    output:
        labels=f"{OF_SCENES}/text/labels.parquet",
        instances=f"{OF_SCENES}/text/instances.parquet",
        votes=[f"{OF_SCENES}/text/{name}.parquet" for name in scenes.TEXT_LABELERS],
        summary=f"{OF_SCENES}/text/summary.json",
    log:
        "logs/scenes/text.log",
    benchmark:
        f"{OF_SCENES}/benchmark/text.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(60),
    params:
        code=code("pipelines.scenes.steps:label_by_text"),
        folder=subpath(output.labels, parent=True),
        truth=lambda wildcards, input: [
            part for path in input.truth for part in ("--truth", path)
        ],
        options=as_options(SCENES.options.text),
    message:
        "scenes: label by text"
    shell:
        "secondlook scenes text {input.images} --vocabulary {input.vocabulary:q} --out {params.folder} {params.truth:q} "
        "--options {params.options:q} > {log} 2>&1"


rule scenes_split:
    input:
        lists=SCENES.split_from(),
        vocabulary=SCENES.options.vocabulary,
    output:
        f"{OF_SCENES}/split/splits.parquet",
    log:
        "logs/scenes/split.log",
    benchmark:
        f"{OF_SCENES}/benchmark/split.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(60),
    params:
        code=code(
            "pipelines.scenes.steps:split_own",
            "pipelines.scenes.steps:split_published",
        ),
        folder=subpath(output[0], parent=True),
        lists=SCENES.splitting(),
        options=as_options(SCENES.options.split),
    message:
        "scenes: split images and landmarks"
    shell:
        "secondlook scenes split {params.lists:q} --vocabulary {input.vocabulary:q} --out {params.folder} "
        "--options {params.options:q} > {log} 2>&1"


rule scenes_consistency:
    input:
        labels=f"{OF_SCENES}/text/labels.parquet",
        pairs=f"{OF_SCENES}/points/pairs.parquet",
        votes=[f"{OF_SCENES}/text/{name}.parquet" for name in scenes.TEXT_LABELERS],
        vocabulary=SCENES.options.vocabulary,
    output:
        conflicts=f"{OF_SCENES}/consistency/conflicts.parquet",
        flags=f"{OF_SCENES}/consistency/flags.parquet",
        agreement=f"{OF_SCENES}/consistency/agreement.json",
    log:
        "logs/scenes/consistency.log",
    benchmark:
        f"{OF_SCENES}/benchmark/consistency.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(60),
    params:
        code=code("pipelines.scenes.checking"),
        folder=subpath(output.flags, parent=True),
        votes=lambda wildcards, input: [
            part for path in input.votes for part in ("--votes", path)
        ],
        options=as_options(SCENES.options.consistency),
    message:
        "scenes: compare labels where images share points"
    shell:
        "secondlook scenes consistency {input.labels} --pairs {input.pairs} {params.votes:q} "
        "--vocabulary {input.vocabulary:q} --out {params.folder} --options {params.options:q} > {log} 2>&1"


rule scenes_train:
    input:
        images=f"{OF_SCENES}/index/images.parquet",
        splits=f"{OF_SCENES}/split/splits.parquet",
        points=f"{OF_SCENES}/points/points.parquet",
        pairs=f"{OF_SCENES}/points/pairs.parquet",
        vocabulary=SCENES.options.vocabulary,
    output:
        [f"{OF_NETWORK}/train/{name}" for name in scenes.TRAINED],
    log:
        "logs/scenes/{variant}.{seed}/train.log",
    benchmark:
        f"{OF_SCENES}/benchmark/train.{{variant}}.{{seed}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: SCENES.network.training.resources.cpus
    resources:
        **OF_TRAINING,
    params:
        code=code("pipelines.scenes.network_steps:train_network"),
        model=state_of(SCENES.network.network.weights),
        folder=subpath(output[0], parent=True),
        options=lambda wildcards: SCENES.training(wildcards.variant, wildcards.seed),
    message:
        "scenes: train the network {wildcards.variant}, seed {wildcards.seed}"
    shell:
        "secondlook scenes train {input.images} --splits {input.splits} --points {input.points} --pairs {input.pairs} "
        "--vocabulary {input.vocabulary:q} --out {params.folder} --options {params.options:q} --threads {threads} 2> {log}"


rule scenes_predict:
    input:
        images=f"{OF_SCENES}/index/images.parquet",
        splits=f"{OF_SCENES}/split/splits.parquet",
        weights=f"{OF_NETWORK}/train/{scenes.TRAINED[0]}",
    output:
        folder=directory(f"{OF_NETWORK}/predict"),
    log:
        "logs/scenes/{variant}.{seed}/predict.log",
    benchmark:
        f"{OF_SCENES}/benchmark/predict.{{variant}}.{{seed}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: SCENES.network.inference.resources.cpus
    resources:
        **OF_INFERENCE,
    params:
        code=code("pipelines.scenes.network_steps:predict"),
        weights=subpath(input.weights, parent=True),
        options=SCENES.inference(),
    message:
        "scenes: predict by the network {wildcards.variant}, seed {wildcards.seed}"
    shell:
        "secondlook scenes predict {input.images} --splits {input.splits} --weights {params.weights} "
        "--out {output.folder} --options {params.options:q} --threads {threads} 2> {log}"


rule scenes_evaluate:
    input:
        images=f"{OF_SCENES}/index/images.parquet",
        splits=f"{OF_SCENES}/split/splits.parquet",
        points=f"{OF_SCENES}/points/points.parquet",
        pairs=f"{OF_SCENES}/points/pairs.parquet",
        weights=f"{OF_NETWORK}/train/{scenes.TRAINED[0]}",
        predicted=f"{OF_NETWORK}/predict",
        truth=SCENES.truth(),
        masks=SCENES.masks(),
        vocabulary=SCENES.options.vocabulary,
    output:
        f"{OF_NETWORK}/evaluate/summary.json",
    log:
        "logs/scenes/{variant}.{seed}/evaluate.log",
    benchmark:
        f"{OF_SCENES}/benchmark/evaluate.{{variant}}.{{seed}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: SCENES.network.inference.resources.cpus
    resources:
        **OF_INFERENCE,
    params:
        code=code(
            "pipelines.scenes.network_steps:evaluate_network",
            "pipelines.scenes.steps:read_truth",
        ),
        folder=subpath(output[0], parent=True),
        weights=subpath(input.weights, parent=True),
        truth=lambda wildcards, input: [
            part
            for name, paths in (("--truth", input.truth), ("--masks", input.masks))
            for path in paths
            for part in (name, path)
        ],
    message:
        "scenes: evaluate the network {wildcards.variant}, seed {wildcards.seed}"
    shell:
        "secondlook scenes evaluate {input.images} --splits {input.splits} --points {input.points} "
        "--pairs {input.pairs} --weights {params.weights} --predicted {input.predicted} {params.truth:q} "
        "--vocabulary {input.vocabulary:q} --out {params.folder} --threads {threads} > {log} 2>&1"


rule scenes_mask_consistency:
    input:
        labels=f"{OF_SCENES}/text/labels.parquet",
        points=f"{OF_SCENES}/points/points.parquet",
        pairs=f"{OF_SCENES}/points/pairs.parquet",
        predicted=f"{OF_NETWORK}/predict",
        vocabulary=SCENES.options.vocabulary,
    output:
        f"{OF_NETWORK}/consistency/agreement.json",
    log:
        "logs/scenes/{variant}.{seed}/consistency.log",
    benchmark:
        f"{OF_SCENES}/benchmark/consistency.{{variant}}.{{seed}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(60),
    params:
        code=code("pipelines.scenes.checking"),
        folder=subpath(output[0], parent=True),
        options=as_options(SCENES.options.consistency),
    message:
        "scenes: compare masks of {wildcards.variant}, seed {wildcards.seed}, at shared points"
    shell:
        "secondlook scenes consistency {input.labels} --pairs {input.pairs} --points {input.points} "
        "--masks {input.predicted}/masks --vocabulary {input.vocabulary:q} --out {params.folder} "
        "--options {params.options:q} > {log} 2>&1"


rule scenes_hand_over:
    input:
        instances=f"{OF_SCENES}/text/instances.parquet",
        votes=[f"{OF_SCENES}/text/{name}.parquet" for name in scenes.TEXT_LABELERS],
        splits=f"{OF_SCENES}/split/splits.parquet",
        predicted=f"{SCENES.main()}/predict",
        conflicts=f"{OF_SCENES}/consistency/conflicts.parquet",
    output:
        [f"{OF_SCENES}/hand_over/objects.json"] if SCENES.gives_masks else [],
        instances=f"{OF_SCENES}/hand_over/instances.parquet",
        votes=SCENES.votes(),
    log:
        "logs/scenes/hand_over.log",
    benchmark:
        f"{OF_SCENES}/benchmark/hand_over.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(60),
    params:
        code=code("pipelines.scenes.hand_over"),
        text=subpath(input.instances, parent=True),
        folder=subpath(output.instances, parent=True),
        options=as_options(SCENES.options.hand_over),
    message:
        "scenes: pass votes and masks on"
    shell:
        "secondlook scenes hand-over {params.text} --splits {input.splits} --predicted {input.predicted} "
        "--conflicts {input.conflicts} --out {params.folder} --options {params.options:q} 2> {log}"


rule scenes_consensus:
    input:
        instances=f"{OF_SCENES}/hand_over/instances.parquet",
        votes=SCENES.votes(),
    output:
        consensus=f"{OF_SCENES}/consensus/consensus.parquet",
        majority=f"{OF_SCENES}/consensus/majority.parquet",
    log:
        "logs/scenes/consensus.log",
    benchmark:
        f"{OF_SCENES}/benchmark/consensus.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(30),
    params:
        code=code("stages.consensus"),
        votes=lambda wildcards, input: [
            part for path in input.votes for part in ("--votes", path)
        ],
        options=as_options(RUN.config.consensus),
    message:
        "scenes: merge the votes of text and network"
    shell:
        "secondlook consensus --instances {input.instances} {params.votes:q} --out {output.consensus} "
        "--options {params.options:q} 2> {log}"


rule scenes_evaluate_consensus:
    input:
        instances=f"{OF_SCENES}/hand_over/instances.parquet",
        votes=SCENES.votes(),
        consensus=f"{OF_SCENES}/consensus/consensus.parquet",
        majority=f"{OF_SCENES}/consensus/majority.parquet",
    output:
        [f"{OF_SCENES}/evaluate/{name}" for name in TABLES],
    log:
        "logs/scenes/evaluate.log",
    benchmark:
        f"{OF_SCENES}/benchmark/evaluate_consensus.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(30),
    params:
        code=code("stages.evaluate"),
        folder=subpath(output[0], parent=True),
        votes=lambda wildcards, input: [
            part for path in input.votes for part in ("--votes", path)
        ],
        options=as_options(RUN.config.evaluate),
    message:
        "scenes: compare text, network and consensus with the truth, and with each other"
    shell:
        "secondlook evaluate --instances {input.instances} {params.votes:q} --consensus {input.consensus} "
        "--out {params.folder} --options {params.options:q} 2> {log}"


# Its output is for the terminal: text, network with and without the 3D loss, and their consensus.
rule scenes_report:
    input:
        SCENES.reported(),
    output:
        [f"{OF_SCENES}/report/{name}" for name in scenes.TABLES],
        summary=SCENES.summary,
    log:
        "logs/scenes/report.log",
    benchmark:
        f"{OF_SCENES}/benchmark/report.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(30),
    params:
        code=code("pipelines.scenes.report"),
        results=subpath(input[0], ancestor=2),
        folder=subpath(output[0], parent=True),
        runs=[f"--run {run}" for run in SCENES.runs()],
    message:
        "scenes: put text, network and consensus side by side"
    shell:
        "secondlook scenes report {params.results} {params.runs} --out {params.folder} "
        "--summary {output.summary} 2> {log}"


rule scenes:
    input:
        lambda wildcards: checked(SCENES.final_files),


localrules:
    scenes,
