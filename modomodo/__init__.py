"""Find the best mixture of training datasets for reinforcement learning with verifiable rewards.

One folder for each stage of the pipeline, named like its rule file; docs/architecture.md lists them. A rule knows paths
and resources, a script arguments and files, a module here data and nothing about Snakemake.
"""

__version__ = "0.1.0"
