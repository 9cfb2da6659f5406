# Runs where snakemake runs: nodes of a cluster often have no network. `--resources download=2` runs two at a time.
# `update` keeps the marker: complete data is not fetched again because an option changed.
rule fetch:
    output:
        update("{place}/{fetched}.fetched.json"),
    log:
        "logs/fetch/{place}/{fetched}.log",
    benchmark:
        f"{RUN.config.results}/benchmark/fetch/{{place}}/{{fetched}}.tsv"
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        download=1,
        mem_mb=2000,
        runtime=1440,
    params:
        options=from_wildcards(RUN.data.fetch_options, "fetched"),
    message:
        "fetch: download {wildcards.fetched} to {wildcards.place}"
    shell:
        "secondlook fetch {wildcards.fetched:q} --options {params.options:q} 2> {log:q}"


# Data that only a person can get. The output is a name for it that never exists, so it never overwrites data.
rule obtain:
    output:
        f"{RUN.config.results}/missing/{{missing}}",
    log:
        "logs/missing/{missing}.log",
    benchmark:
        f"{RUN.config.results}/benchmark/missing/{{missing}}.tsv"
    priority: 100
    conda:
        "../envs/secondlook.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        sentence=lambda wildcards: MISSING[wildcards.missing],
    message:
        "obtain: {params.sentence}"
    shell:
        "echo {params.sentence:q} | tee {log} >&2; exit 1"


localrules:
    fetch,
    obtain,
