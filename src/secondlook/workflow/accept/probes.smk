# The jobs of `secondlook accept`. It writes probes.json into the folder of the run and reads the records there.
configfile: "probes.json"


def asked(resource):
    return lambda wildcards: config["probes"][wildcards.probe][resource]


localrules:
    all,


rule all:
    input:
        expand("records/{probe}.json", probe=config["probes"]),


rule probe:
    output:
        "records/{probe}.json",
    log:
        "logs/{probe}.log",
    threads: 1
    resources:
        mem_mb=asked("mem_mb"),
        runtime=asked("runtime"),
        gpu=asked("gpu"),
        gpu_model=asked("gpu_model"),
        constraint=asked("constraint"),
        slurm_partition=asked("slurm_partition"),
    shell:
        "secondlook accept-probe {wildcards.probe} 2> {log}"
