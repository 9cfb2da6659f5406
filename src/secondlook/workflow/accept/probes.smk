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
        **{resource: asked(resource) for resource in config["resources"]},
    shell:
        "secondlook accept-probe {wildcards.probe} 2> {log}"
