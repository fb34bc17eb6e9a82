"""A method for each operation of the API. Written by ``python -m scripts.client_operations``."""

from dagway.client.methods import Sender, method
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

__all__ = ["OperationMethods"]


class OperationMethods(Sender):
    """The operations of the API under their names in the OpenAPI document, in snake case."""

    login = method(accounts.login)
    start_session = method(accounts.start_session)
    logout = method(accounts.logout)
    get_current_user = method(accounts.get_current_user)
    change_password = method(accounts.change_password)
    list_users = method(accounts.list_users)
    create_user = method(accounts.create_user)
    get_user = method(accounts.get_user)
    update_user_by_put = method(accounts.update_user_by_put)
    update_user = method(accounts.update_user)
    delete_user = method(accounts.delete_user)
    reset_user_password = method(accounts.reset_user_password)
    approve_dag_run_step = method(approvals.approve_dag_run_step)
    approve_sub_dag_run_step = method(approvals.approve_sub_dag_run_step)
    reject_dag_run_step = method(approvals.reject_dag_run_step)
    reject_sub_dag_run_step = method(approvals.reject_sub_dag_run_step)
    list_dag_run_attempts = method(attempts.list_dag_run_attempts)
    list_sub_dag_run_attempts = method(attempts.list_sub_dag_run_attempts)
    list_audit_entries = method(audit.list_audit_entries)
    stop_dag_runs = method(bulk.stop_dag_runs)
    retry_dag_runs = method(bulk.retry_dag_runs)
    dequeue_dag_runs = method(bulk.dequeue_dag_runs)
    remove_dag_runs = method(bulk.remove_dag_runs)
    stop_queue = method(bulk.stop_queue)
    get_command = method(commands.get_command)
    stop_all_dag_runs = method(control.stop_all_dag_runs)
    terminate_dag_run = method(control.terminate_dag_run)
    retry_dag_run = method(control.retry_dag_run)
    delete_dag_run = method(control.delete_dag_run)
    dequeue_dag_run_by_post = method(control.dequeue_dag_run_by_post)
    dequeue_dag_run = method(control.dequeue_dag_run)
    update_dag_run_step_status = method(control.update_dag_run_step_status)
    update_sub_dag_run_step_status = method(control.update_sub_dag_run_step_status)
    list_dags = method(dags.list_dags)
    get_all_dag_tags = method(dags.get_all_dag_tags)
    validate_dag_spec = method(dags.validate_dag_spec)
    create_new_dag = method(dags.create_new_dag)
    get_dag_details = method(dags.get_dag_details)
    delete_dag = method(dags.delete_dag)
    get_dag_spec = method(dags.get_dag_spec)
    update_dag_spec = method(dags.update_dag_spec)
    rename_dag = method(dags.rename_dag)
    update_dag_suspension_state = method(dags.update_dag_suspension_state)
    get_dag_dag_run_history = method(dags.get_dag_dag_run_history)
    get_dag_dag_run_details = method(dags.get_dag_dag_run_details)
    list_dead_letters = method(dead_letters.list_dead_letters)
    return_dead_letters = method(dead_letters.return_dead_letters)
    discard_dead_letters = method(dead_letters.discard_dead_letters)
    get_open_api = method(docs.get_open_api)
    get_reference = method(docs.get_reference)
    list_settings = method(effective_settings.list_settings)
    list_scheduler_settings = method(effective_settings.list_scheduler_settings)
    list_worker_settings = method(effective_settings.list_worker_settings)
    list_dag_slots = method(fires.list_dag_slots)
    list_slots = method(fires.list_slots)
    get_dag_calendar = method(fires.get_dag_calendar)
    get_calendar = method(fires.get_calendar)
    list_api_keys = method(keys.list_api_keys)
    create_api_key = method(keys.create_api_key)
    get_api_key = method(keys.get_api_key)
    update_api_key = method(keys.update_api_key)
    delete_api_key = method(keys.delete_api_key)
    get_dag_run_log = method(logs.get_dag_run_log)
    get_sub_dag_run_log = method(logs.get_sub_dag_run_log)
    get_dag_run_step_log = method(logs.get_dag_run_step_log)
    get_sub_dag_run_step_log = method(logs.get_sub_dag_run_step_log)
    search_step_log = method(logs.search_step_log)
    search_sub_step_log = method(logs.search_sub_step_log)
    download_dag_run_log = method(logs.download_dag_run_log)
    download_sub_dag_run_log = method(logs.download_sub_dag_run_log)
    download_dag_run_step_log = method(logs.download_dag_run_step_log)
    download_sub_dag_run_step_log = method(logs.download_sub_dag_run_step_log)
    get_overview = method(overview.get_overview)
    get_timeline = method(overview.get_timeline)
    list_approvals = method(overview.list_approvals)
    list_pauses = method(pauses.list_pauses)
    pause_all = method(pauses.pause_all)
    resume_all = method(pauses.resume_all)
    pause_queue = method(pauses.pause_queue)
    resume_queue = method(pauses.resume_queue)
    pause_dag = method(pauses.pause_dag)
    resume_dag = method(pauses.resume_dag)
    list_pools = method(pools.list_pools)
    set_pool_capacity = method(pools.set_pool_capacity)
    remove_pool = method(pools.remove_pool)
    list_queues = method(queues.list_queues)
    get_queue = method(queues.get_queue)
    list_queue_items = method(queues.list_queue_items)
    set_queue_limit = method(queues.set_queue_limit)
    remove_queue_limit = method(queues.remove_queue_limit)
    list_dag_runs = method(runs.list_dag_runs)
    list_dag_runs_by_name = method(runs.list_dag_runs_by_name)
    get_dag_run_details = method(runs.get_dag_run_details)
    get_dag_run_spec = method(runs.get_dag_run_spec)
    get_dag_run_outputs = method(runs.get_dag_run_outputs)
    search_dags = method(search.search_dags)
    list_secrets = method(secrets.list_secrets)
    set_secret = method(secrets.set_secret)
    delete_secret = method(secrets.delete_secret)
    rotate_secrets = method(secrets.rotate_secrets)
    execute_dag = method(starts.execute_dag)
    execute_dag_sync = method(starts.execute_dag_sync)
    enqueue_dag_dag_run = method(starts.enqueue_dag_dag_run)
    execute_dag_run_from_spec = method(starts.execute_dag_run_from_spec)
    enqueue_dag_run_from_spec = method(starts.enqueue_dag_run_from_spec)
    reschedule_dag_run = method(starts.reschedule_dag_run)
    get_dag_statistics = method(statistics.get_dag_statistics)
    get_sub_dag_runs = method(sub_runs.get_sub_dag_runs)
    get_sub_dag_run_details = method(sub_runs.get_sub_dag_run_details)
    get_health_status = method(system.get_health_status)
    get_metrics = method(system.get_metrics)
    get_scheduler_status = method(system.get_scheduler_status)
    get_coordinator_status = method(system.get_coordinator_status)
    get_resource_history = method(system.get_resource_history)
    list_dag_versions = method(versions.list_dag_versions)
    get_dag_version = method(versions.get_dag_version)
    diff_dag_versions = method(versions.diff_dag_versions)
    restore_dag_version = method(versions.restore_dag_version)
    list_webhooks = method(webhooks.list_webhooks)
    get_dag_webhook = method(webhooks.get_dag_webhook)
    create_dag_webhook = method(webhooks.create_dag_webhook)
    delete_dag_webhook = method(webhooks.delete_dag_webhook)
    regenerate_dag_webhook_token = method(webhooks.regenerate_dag_webhook_token)
    toggle_dag_webhook = method(webhooks.toggle_dag_webhook)
    trigger_webhook = method(webhooks.trigger_webhook)
    list_worker_pools = method(worker_pools.list_worker_pools)
    reserve_worker_pool = method(worker_pools.reserve_worker_pool)
    release_worker_pool = method(worker_pools.release_worker_pool)
    get_workers = method(workers.get_workers)
    drain_worker = method(workers.drain_worker)
    resume_worker = method(workers.resume_worker)
    list_workspaces = method(workspaces.list_workspaces)
    create_workspace = method(workspaces.create_workspace)
    get_workspace = method(workspaces.get_workspace)
    update_workspace = method(workspaces.update_workspace)
    delete_workspace = method(workspaces.delete_workspace)
    set_workspace_member = method(workspaces.set_workspace_member)
    remove_workspace_member = method(workspaces.remove_workspace_member)
