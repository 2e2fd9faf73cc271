"""Keys that other programs have: what a study says instead, or that it has no such key.

Names are those of TRL, transformers, PEFT, vLLM, lm-evaluation-harness and of papers. To suggest a key of ours whose
letters are alike (for `lr`, `kl`) would be worse than to suggest none. A test compares the names with the fields of
the installed GRPOConfig.
"""

from modomodo.config.trl_options import FREE

_NO = "this pipeline has no such key:"

# What to say → the names that it is said of.
_SAID = {
    # --- a key by another name
    "give train_batch_size (completions per step over all devices)": "per_device_train_batch_size "
    "generation_batch_size per_device_batch_size micro_batch_size rollout_batch_size",
    "give steps": "max_steps num_steps total_steps train_steps training_steps iterations",
    "give warmup_ratio (share of the steps)": "warmup_steps num_warmup_steps",
    "give vllm: off, colocate or server": "use_vllm vllm_mode",
    "give gpus (0: the CPU)": "use_cpu no_cuda device cuda num_gpus n_gpus n_gpu gpu devices num_processes "
    "tensor_parallel_size vllm_tensor_parallel_size nproc_per_node",
    "write training.learning_rate": "lr peak_lr",
    "write training.beta (coefficient of the KL penalty)": "kl_coef kl_coeff kl_beta kl_loss_coef init_kl_coef "
    "kl_penalty kl_weight",
    "write training.num_generations": "group_size num_rollouts rollouts num_return_sequences "
    "num_samples_per_prompt",
    "write training.gradient_accumulation_steps": "grad_accum grad_accumulation accumulation_steps",
    "write training.max_grad_norm": "grad_clip clip_grad clip_grad_norm gradient_clipping gradient_clip_val",
    "write training.adam_beta2": "adam_betas betas beta2",
    "write training.freeze_vision": "freeze_vision_tower freeze_vision_modules freeze_vit",
    "write max_completion_length, in training or in evaluation": "max_new_tokens max_tokens completion_length "
    "max_response_length response_length max_output_tokens",
    "write training.scored_steps": "eval_steps eval_strategy evaluation_strategy eval_on_start eval_delay do_eval",
    "write training.save_steps; a run resumes by itself": "save_strategy save_interval resume_from_checkpoint "
    "restore_callback_states_from_checkpoint checkpoint_interval enable_jit_checkpoint",
    "write training.keep_weights": "save_total_limit save_only_model",
    "name them in a domain's rewards, and weigh them in training.reward_weights": "reward_funcs reward_functions "
    "reward_fns reward_models",
    "write training.bf16 for the computation, model.dtype for the weights": "fp16 precision mixed_precision "
    "torch_dtype half float16 bf16_full_eval fp16_full_eval",
    "write evaluation.batch_size": "per_device_eval_batch_size eval_batch_size",
    "write evaluation.engine": "backend inference_backend",
    "write model: {builder: hub, options: {repo: …, revision: …}}": "model_name_or_path model_name "
    "model_id base_model "
    "pretrained pretrained_model_name_or_path repo revision hub_model_id model_path checkpoint",
    "write training.seed, and under repeats the further seeds of a mixture": "seeds data_seed "
    "random_seed num_seeds",
    "write threads": "num_workers workers cpus num_cpus dataloader_num_workers num_proc",
    "write limit (rows to read)": "max_samples num_samples max_examples num_examples max_rows n_rows",
    "write max_pixels, and longest for the side that larger images are resized to": "max_image_size image_size "
    "max_image_pixels min_pixels image_max_pixels resize",
    "datasets are listed under domains, test sets under benchmarks": "dataset train_dataset eval_dataset datasets "
    "dataset_name train_data train_files data_files train_sets",
    "test sets are listed under benchmarks": "tasks eval_tasks eval_datasets test_sets evaluations",
    "the weights of the datasets are what strategies propose; `propose: explicit` takes given "
    "ones": "mixture mixtures "
    "data_mixture data_mix dataset_weights mixing_weights interleave_probs sampling_weights mix",
    "texts around a question are under prompts, by type of answer; the chat template is the "
    "model's": "system_prompt "
    "chat_template prompt_template template instruction chat_template_kwargs system_message",
    # --- none
    f"{_NO} a run has a number of steps (training.steps) and ends earlier where a domain is exhausted": "epochs "
    "num_train_epochs max_epochs num_epochs n_epochs",
    f"{_NO} a mixture is trained to its end; `propose: merge_screen` judges mixtures before they are trained "
    "(docs/merging.md)": "early_stopping early_stopping_patience early_stopping_threshold patience "
    "load_best_model_at_end metric_for_best_model greater_is_better",
    "write training.lora: {rank: …, alpha: …, targets: […], dropout: …}": "use_lora peft use_peft peft_config lora_r "
    "lora_rank lora_alpha lora_dropout lora_target_modules target_modules adapter",
    f"{_NO} a base is trained as it is, in model.dtype, and of PEFT's methods there is LoRA (training.lora)": "qlora "
    "load_in_4bit load_in_8bit quantization bnb_4bit_compute_dtype use_dora use_rslora",
    "write training.report_to: [tensorboard, wandb, trackio, mlflow, swanlab]": "wandb use_wandb tensorboard trackio "
    "mlflow swanlab comet tracker trackers logger",
    f"{_NO} a tracker calls a run <mixture>/<seed> in a group or project of the study's name; WANDB_PROJECT and the "
    "like are taken from the environment": "wandb_project run_name experiment_name project wandb_entity "
    "trackio_space_id trackio_bucket_id trackio_static_space_id",
    f"{_NO} each step is a line of runs/<mixture>/<seed>/log.jsonl (docs/results.md), drawn by make report": ""
    "logging_steps logging_dir logging_strategy logging_first_step logging_nan_inf_filter log_completions "
    "log_completions_hub_repo log_multimodal log_unique_prompts log_level log_level_replica log_on_each_node "
    "num_completions_to_print disable_tqdm debug skip_memory_metrics include_num_input_tokens_seen",
    f"{_NO} rollouts are sampled by training.temperature and what training.trl says (top_p, top_k, min_p), and "
    "predictions are greedy": "do_sample num_beams presence_penalty frequency_penalty sampling_params temperature "
    "greedy use_cache",
    f"{_NO} prompts are never cut; max_question and max_pixels of a dataset bound them": "max_prompt_length max_length "
    "max_seq_length max_model_len cutoff_len truncation",
    "write training.trl: {optim: …}": "optimizer",
    "write training.trl: {lr_scheduler_type: …, lr_scheduler_kwargs: …}": "lr_scheduler scheduler min_lr",
    "write training.trl: {epsilon: …, epsilon_high: …}": "clip_range cliprange clip_ratio clip_eps",
    "write training.trl: {num_iterations: …}": "ppo_epochs",
    "write training.trl: {vllm_gpu_memory_utilization: …}": "gpu_memory_utilization",
    "write training.accelerate: FILE (a file of `accelerate config`)": "deepspeed fsdp fsdp_config zero_stage zero3 "
    "deepspeed_config accelerate_config accelerator_config",
    f"{_NO} a run trains on one machine, by data parallelism, DeepSpeed's ZeRO or FSDP (training.accelerate)": ""
    "parallelism_config pipeline_parallel_size",
    f"{_NO} results are in results/<name>/, by the study's name": "output_dir output output_path save_dir results_dir",
    f"{_NO} nothing is uploaded": "push_to_hub hub_always_push hub_private_repo hub_revision hub_strategy hub_token",
    f"{_NO} it is set for all studies (docs/gpus.md)": "vllm_group_port vllm_server_base_url vllm_server_host "
    "vllm_server_port vllm_server_timeout attn_implementation flash_attention use_flash_attention_2",
    f"{_NO} each step learns from completions of its own; training.trl: {{num_iterations: …}} lets several learn from "
    "the same": "steps_per_generation",
    f"{_NO} the reference is the base model, since a resumed run would not know another one": "sync_ref_model "
    "ref_model_mixup_alpha ref_model_sync_steps",
}

# Fields of GRPOConfig that are as the paper's training had them, or that do not matter to one.
_FIXED = (
    "activation_checkpointing activation_checkpointing_kwargs auto_find_batch_size batch_eval_metrics "
    "dataloader_drop_last dataloader_in_order dataloader_multiprocessing_context "
    "dataloader_persistent_workers dataloader_pin_memory dataloader_prefetch_factor do_predict do_train "
    "eval_accumulation_steps eval_do_concat_batches eval_use_gather_object ignore_data_skip "
    "include_for_metrics label_names label_smoothing_factor length_column_name liger_kernel_config "
    "local_rank max_tool_calling_iterations model_init_kwargs neftune_noise_alpha num_generations_eval "
    "pad_to_multiple_of prediction_loss_only remove_unused_columns save_on_each_node shuffle_dataset "
    "train_sampling_strategy transformers_continuous_batching_config trust_remote_code use_liger_kernel "
    "use_transformers_continuous_batching use_transformers_paged vllm_importance_sampling_cap"
)
_SAID[f"{_NO} TRL's setting is fixed for all studies (docs/fidelity.md)"] = _FIXED

FOREIGN_KEYS = {name: f"write training.trl: {{{name}: …}}" for name in FREE} | {
    name: said for said, names in _SAID.items() for name in names.split()
}
