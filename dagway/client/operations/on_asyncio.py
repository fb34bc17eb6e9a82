"""A method for each operation of the API. Written by ``python -m scripts.client_operations``."""

from dagway.client.methods import AsyncSender, async_method
from dagway.client.operations import (
    accounts,
    approvals,
    attempts,
    audit,
    bulk,
    commands,
    control,
    dags,
    dead_letters,
    docs,
    effective_settings,
    fires,
    keys,
    logs,
    overview,
    pauses,
    pools,
    queues,
    runs,
    search,
    secrets,
    starts,
    statistics,
    sub_runs,
    system,
    versions,
    webhooks,
    worker_pools,
    workers,
    workspaces,
)

__all__ = ["AsyncOperationMethods"]


class AsyncOperationMethods(AsyncSender):
    """The operations of the API under their names in the OpenAPI document, in snake case."""

    login = async_method(accounts.login)
    start_session = async_method(accounts.start_session)
    logout = async_method(accounts.logout)
    get_current_user = async_method(accounts.get_current_user)
    change_password = async_method(accounts.change_password)
    list_users = async_method(accounts.list_users)
    create_user = async_method(accounts.create_user)
    get_user = async_method(accounts.get_user)
    update_user_by_put = async_method(accounts.update_user_by_put)
    update_user = async_method(accounts.update_user)
    delete_user = async_method(accounts.delete_user)
    reset_user_password = async_method(accounts.reset_user_password)
    approve_dag_run_step = async_method(approvals.approve_dag_run_step)
    approve_sub_dag_run_step = async_method(approvals.approve_sub_dag_run_step)
    reject_dag_run_step = async_method(approvals.reject_dag_run_step)
    reject_sub_dag_run_step = async_method(approvals.reject_sub_dag_run_step)
    list_dag_run_attempts = async_method(attempts.list_dag_run_attempts)
    list_sub_dag_run_attempts = async_method(attempts.list_sub_dag_run_attempts)
    list_audit_entries = async_method(audit.list_audit_entries)
    stop_dag_runs = async_method(bulk.stop_dag_runs)
    retry_dag_runs = async_method(bulk.retry_dag_runs)
    dequeue_dag_runs = async_method(bulk.dequeue_dag_runs)
    remove_dag_runs = async_method(bulk.remove_dag_runs)
    stop_queue = async_method(bulk.stop_queue)
    get_command = async_method(commands.get_command)
    stop_all_dag_runs = async_method(control.stop_all_dag_runs)
    terminate_dag_run = async_method(control.terminate_dag_run)
    retry_dag_run = async_method(control.retry_dag_run)
    delete_dag_run = async_method(control.delete_dag_run)
    dequeue_dag_run_by_post = async_method(control.dequeue_dag_run_by_post)
    dequeue_dag_run = async_method(control.dequeue_dag_run)
    update_dag_run_step_status = async_method(control.update_dag_run_step_status)
    update_sub_dag_run_step_status = async_method(control.update_sub_dag_run_step_status)
    list_dags = async_method(dags.list_dags)
    get_all_dag_tags = async_method(dags.get_all_dag_tags)
    validate_dag_spec = async_method(dags.validate_dag_spec)
    create_new_dag = async_method(dags.create_new_dag)
    get_dag_details = async_method(dags.get_dag_details)
    delete_dag = async_method(dags.delete_dag)
    get_dag_spec = async_method(dags.get_dag_spec)
    update_dag_spec = async_method(dags.update_dag_spec)
    rename_dag = async_method(dags.rename_dag)
    update_dag_suspension_state = async_method(dags.update_dag_suspension_state)
    get_dag_dag_run_history = async_method(dags.get_dag_dag_run_history)
    get_dag_dag_run_details = async_method(dags.get_dag_dag_run_details)
    list_dead_letters = async_method(dead_letters.list_dead_letters)
    return_dead_letters = async_method(dead_letters.return_dead_letters)
    discard_dead_letters = async_method(dead_letters.discard_dead_letters)
    get_open_api = async_method(docs.get_open_api)
    get_reference = async_method(docs.get_reference)
    list_settings = async_method(effective_settings.list_settings)
    list_scheduler_settings = async_method(effective_settings.list_scheduler_settings)
    list_worker_settings = async_method(effective_settings.list_worker_settings)
    list_dag_slots = async_method(fires.list_dag_slots)
    list_slots = async_method(fires.list_slots)
    get_dag_calendar = async_method(fires.get_dag_calendar)
    get_calendar = async_method(fires.get_calendar)
    list_api_keys = async_method(keys.list_api_keys)
    create_api_key = async_method(keys.create_api_key)
    get_api_key = async_method(keys.get_api_key)
    update_api_key = async_method(keys.update_api_key)
    delete_api_key = async_method(keys.delete_api_key)
    get_dag_run_log = async_method(logs.get_dag_run_log)
    get_sub_dag_run_log = async_method(logs.get_sub_dag_run_log)
    get_dag_run_step_log = async_method(logs.get_dag_run_step_log)
    get_sub_dag_run_step_log = async_method(logs.get_sub_dag_run_step_log)
    search_step_log = async_method(logs.search_step_log)
    search_sub_step_log = async_method(logs.search_sub_step_log)
    download_dag_run_log = async_method(logs.download_dag_run_log)
    download_sub_dag_run_log = async_method(logs.download_sub_dag_run_log)
    download_dag_run_step_log = async_method(logs.download_dag_run_step_log)
    download_sub_dag_run_step_log = async_method(logs.download_sub_dag_run_step_log)
    get_overview = async_method(overview.get_overview)
    get_timeline = async_method(overview.get_timeline)
    list_approvals = async_method(overview.list_approvals)
    list_pauses = async_method(pauses.list_pauses)
    pause_all = async_method(pauses.pause_all)
    resume_all = async_method(pauses.resume_all)
    pause_queue = async_method(pauses.pause_queue)
    resume_queue = async_method(pauses.resume_queue)
    pause_dag = async_method(pauses.pause_dag)
    resume_dag = async_method(pauses.resume_dag)
    list_pools = async_method(pools.list_pools)
    set_pool_capacity = async_method(pools.set_pool_capacity)
    remove_pool = async_method(pools.remove_pool)
    list_queues = async_method(queues.list_queues)
    get_queue = async_method(queues.get_queue)
    list_queue_items = async_method(queues.list_queue_items)
    set_queue_limit = async_method(queues.set_queue_limit)
    remove_queue_limit = async_method(queues.remove_queue_limit)
    list_dag_runs = async_method(runs.list_dag_runs)
    list_dag_runs_by_name = async_method(runs.list_dag_runs_by_name)
    get_dag_run_details = async_method(runs.get_dag_run_details)
    get_dag_run_spec = async_method(runs.get_dag_run_spec)
    get_dag_run_outputs = async_method(runs.get_dag_run_outputs)
    search_dags = async_method(search.search_dags)
    list_secrets = async_method(secrets.list_secrets)
    set_secret = async_method(secrets.set_secret)
    delete_secret = async_method(secrets.delete_secret)
    rotate_secrets = async_method(secrets.rotate_secrets)
    execute_dag = async_method(starts.execute_dag)
    execute_dag_sync = async_method(starts.execute_dag_sync)
    enqueue_dag_dag_run = async_method(starts.enqueue_dag_dag_run)
    execute_dag_run_from_spec = async_method(starts.execute_dag_run_from_spec)
    enqueue_dag_run_from_spec = async_method(starts.enqueue_dag_run_from_spec)
    reschedule_dag_run = async_method(starts.reschedule_dag_run)
    get_dag_statistics = async_method(statistics.get_dag_statistics)
    get_sub_dag_runs = async_method(sub_runs.get_sub_dag_runs)
    get_sub_dag_run_details = async_method(sub_runs.get_sub_dag_run_details)
    get_health_status = async_method(system.get_health_status)
    get_metrics = async_method(system.get_metrics)
    get_scheduler_status = async_method(system.get_scheduler_status)
    get_coordinator_status = async_method(system.get_coordinator_status)
    get_resource_history = async_method(system.get_resource_history)
    list_dag_versions = async_method(versions.list_dag_versions)
    get_dag_version = async_method(versions.get_dag_version)
    diff_dag_versions = async_method(versions.diff_dag_versions)
    restore_dag_version = async_method(versions.restore_dag_version)
    list_webhooks = async_method(webhooks.list_webhooks)
    get_dag_webhook = async_method(webhooks.get_dag_webhook)
    create_dag_webhook = async_method(webhooks.create_dag_webhook)
    delete_dag_webhook = async_method(webhooks.delete_dag_webhook)
    regenerate_dag_webhook_token = async_method(webhooks.regenerate_dag_webhook_token)
    toggle_dag_webhook = async_method(webhooks.toggle_dag_webhook)
    trigger_webhook = async_method(webhooks.trigger_webhook)
    list_worker_pools = async_method(worker_pools.list_worker_pools)
    reserve_worker_pool = async_method(worker_pools.reserve_worker_pool)
    release_worker_pool = async_method(worker_pools.release_worker_pool)
    get_workers = async_method(workers.get_workers)
    drain_worker = async_method(workers.drain_worker)
    resume_worker = async_method(workers.resume_worker)
    list_workspaces = async_method(workspaces.list_workspaces)
    create_workspace = async_method(workspaces.create_workspace)
    get_workspace = async_method(workspaces.get_workspace)
    update_workspace = async_method(workspaces.update_workspace)
    delete_workspace = async_method(workspaces.delete_workspace)
    set_workspace_member = async_method(workspaces.set_workspace_member)
    remove_workspace_member = async_method(workspaces.remove_workspace_member)
