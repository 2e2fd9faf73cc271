"""Find the best mixture of training datasets for reinforcement learning with verifiable rewards.

The package holds the thinking and knows nothing of Snakemake: a rule knows paths and
resources, a script knows arguments and files, a module here knows data.
"""

__version__ = "0.1.0"
