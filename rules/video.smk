# Boxes from unlabeled video (MOD-UV): each round of training starts anew; only labels pass from one to the next.
from secondlook.pipelines.video import run as video

VIDEO = checked(video.PIPELINE.of, RUN)
OF_VIDEO = VIDEO.folder
OF_ROUND = NEEDS.resources_of(
    lambda wildcards: VIDEO.resources(wildcards.round), VIDEO.all_resources()
)


wildcard_constraints:
    clips="[0-9]{4}",
    round="mobile|large|small|final",


if VIDEO.options.scenes is not None:

    rule video_draw:
        output:
            clips=directory(VIDEO.options.clips),
            truth=directory(VIDEO.options.truth),
        log:
            "logs/video/draw.log",
        benchmark:
            f"{OF_VIDEO}/benchmark/draw.tsv"
        conda:
            "../envs/secondlook.yaml"
        threads: 1
        resources:
            mem_mb=per_attempt(1000),
            runtime=per_attempt(30),
        params:
            code=code("pipelines.video.drawn"),
            options=as_options(VIDEO.options.scenes),
        message:
            "video: draw clips"
        shell:
            "secondlook video draw --out {output.clips} --truth {output.truth} --options {params.options:q} 2> {log}"


rule video_frames:
    input:
        VIDEO.options.clips,
    output:
        f"{OF_VIDEO}/frames/{{clips}}.json",
    log:
        "logs/video/frames/{clips}.log",
    benchmark:
        f"{OF_VIDEO}/benchmark/frames.{{clips}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(120),
    params:
        code=code("pipelines.video.steps:list_frames"),
        listed=["--listed", VIDEO.options.listed] if VIDEO.options.listed else [],
        part=lambda wildcards: int(wildcards.clips),
        parts=VIDEO.options.parts,
        options=as_options(VIDEO.options.frames),
    message:
        "video: list the frames of part {wildcards.clips}"
    shell:
        "secondlook video frames {input:q} --out {output} {params.listed:q} --part {params.part} "
        "--parts {params.parts} --options {params.options:q} 2> {log}"


rule video_motion:
    input:
        frames=f"{OF_VIDEO}/frames/{{clips}}.json",
        truth=VIDEO.truth() if "truth" in VIDEO.sources() else [],
    output:
        directory(f"{OF_VIDEO}/motion/{{clips}}"),
    log:
        "logs/video/motion/{clips}.log",
    benchmark:
        f"{OF_VIDEO}/benchmark/motion.{{clips}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(240),
    params:
        code=code("pipelines.video.steps:find_motion"),
        model=state_of(VIDEO.options.motion.depth_model),
        flow=state_of(VIDEO.options.motion.raft_weights),
        truth=lambda wildcards, input: [
            part for path in input.truth for part in ("--truth", path)
        ],
        options=as_options(VIDEO.options.motion),
    message:
        "video: compute motion in part {wildcards.clips}"
    shell:
        "secondlook video motion {input.frames} --out {output} {params.truth:q} --options {params.options:q} 2> {log}"


rule video_group:
    input:
        frames=f"{OF_VIDEO}/frames/{{clips}}.json",
        motion=f"{OF_VIDEO}/motion/{{clips}}",
    output:
        f"{OF_VIDEO}/moving/{{clips}}.json",
    log:
        "logs/video/moving/{clips}.log",
    benchmark:
        f"{OF_VIDEO}/benchmark/group.{{clips}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(120),
    params:
        code=code("pipelines.video.steps:group_pixels"),
        options=as_options(VIDEO.options.group),
    message:
        "video: group moving pixels in part {wildcards.clips} (L0)"
    shell:
        "secondlook video group {input.frames} --motion {input.motion} --out {output} "
        "--options {params.options:q} 2> {log}"


rule video_train:
    input:
        lambda wildcards: VIDEO.learned_from(wildcards.round),
    output:
        weights=f"{OF_VIDEO}/train/{{round}}/weights.safetensors",
        metrics=f"{OF_VIDEO}/train/{{round}}/metrics.csv",
    log:
        "logs/video/train/{round}.log",
    benchmark:
        f"{OF_VIDEO}/benchmark/train.{{round}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: lambda wildcards: VIDEO.resources(wildcards.round).cpus
    resources:
        **OF_ROUND,
    params:
        code=code("pipelines.video.steps:train_round"),
        model=state_of(VIDEO.options.detector.weights),
        folder=subpath(output.weights, parent=True),
        options=lambda wildcards: VIDEO.training(wildcards.round),
    message:
        "video: train the round {wildcards.round}"
    shell:
        "secondlook video train {input} --out {params.folder} --options {params.options:q} "
        "--threads {threads} 2> {log}"


rule video_predict:
    input:
        frames=f"{OF_VIDEO}/frames/{{clips}}.json",
        weights=f"{OF_VIDEO}/train/{{round}}/weights.safetensors",
    output:
        f"{OF_VIDEO}/{{round}}/{{clips}}.json",
    log:
        "logs/video/{round}/{clips}.log",
    benchmark:
        f"{OF_VIDEO}/benchmark/predict.{{round}}.{{clips}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        **{**OF_ROUND, "runtime": per_attempt(240)},
    params:
        code=code("pipelines.video.steps:find_objects"),
        folder=subpath(input.weights, parent=True),
        score=lambda wildcards: VIDEO.score(wildcards.round),
        options=as_options(VIDEO.options.detector),
    message:
        "video: predict by the round {wildcards.round} in part {wildcards.clips}"
    shell:
        "secondlook video predict {input.frames} --weights {params.folder} --name {wildcards.round} "
        "--score {params.score} --out {output} --options {params.options:q} --threads {threads} 2> {log}"


rule video_merge:
    input:
        large=f"{OF_VIDEO}/large/{{clips}}.json",
        small=f"{OF_VIDEO}/small/{{clips}}.json",
    output:
        f"{OF_VIDEO}/merged/{{clips}}.json",
    log:
        "logs/video/merged/{clips}.log",
    benchmark:
        f"{OF_VIDEO}/benchmark/merge.{{clips}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(60),
    params:
        code=code("pipelines.video.steps:merge_rounds"),
        large=VIDEO.options.rounds.large.score,
        small=VIDEO.options.rounds.small.score,
        options=as_options(VIDEO.options.merge),
    message:
        "video: merge large and small of part {wildcards.clips} (L2)"
    shell:
        "secondlook video merge {input.large} {input.small} --large-score {params.large} "
        "--small-score {params.small} --out {output} --options {params.options:q} 2> {log}"


rule video_boxes:
    input:
        VIDEO.labels("final"),
    output:
        f"{OF_VIDEO}/boxes.json",
    log:
        "logs/video/boxes.log",
    benchmark:
        f"{OF_VIDEO}/benchmark/boxes.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(60),
    params:
        code=code("pipelines.video.steps:write_boxes"),
        score=VIDEO.options.rounds.final.score,
        options=as_options(VIDEO.options.tracks),
    message:
        "video: boxes and their tracks"
    shell:
        "secondlook video boxes {input} --score {params.score} --out {output} --options {params.options:q} 2> {log}"


# Its output is for the terminal: recall per round.
rule video_evaluate:
    input:
        truth=VIDEO.truth(),
        labels=VIDEO.all_labels(),
    output:
        VIDEO.tables(),
        summary=VIDEO.summary,
    log:
        "logs/video/evaluate.log",
    benchmark:
        f"{OF_VIDEO}/benchmark/evaluate.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(60),
    params:
        code=code("pipelines.video.steps:evaluate_rounds"),
        folder=subpath(output[0], parent=True),
        rounds=VIDEO.rounds(),
        score=VIDEO.options.rounds.final.score,
        categories=VIDEO.categories(),
        held_out=VIDEO.held_out(),
    message:
        "video: compare the rounds with the truth"
    shell:
        "secondlook video evaluate {params.rounds} --truth {input.truth} {params.categories:q} "
        "{params.held_out:q} --score {params.score} --out {params.folder} --summary {output.summary} 2> {log}"


rule video:
    input:
        lambda wildcards: checked(VIDEO.final_files),


localrules:
    video,
