"""A checkpoint of the pipeline as a model of lmms-eval, which finds it by the entry point that envs/lmms.sh writes.

lmms_eval --model modomodo --model_args pretrained=CHECKPOINT --tasks chartqa --reasoning_tags none
"""

from lmms_eval.models.registry_v2 import ModelManifest

MANIFEST = ModelManifest(model_id="modomodo", simple_class_path="lmms_eval_modomodo.model.Checkpoint")
