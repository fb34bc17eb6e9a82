"""Names that only frameworks use, so vulture would report them as unused. Only vulture reads this file."""

# pydantic reads this name from the class.
_.model_config

# Python calls it for a name that the module does not have.
__getattr__

# Werkzeug's URL map and converters.
_.part_isolating
_.strict_slashes
_.merge_slashes
_.to_python
_.to_url

# Flask calls them, and reads the attribute.
_.ensure_sync
_.open_session
_.session_interface

# psycopg2 calls it for a value's literal.
_.getquoted

# prometheus_client calls this method.
_.collect

# OpenTelemetry's batch processor calls this method.
_.export

# click calls it.
_.list_commands

# SQLAlchemy reads these names.
_.inherit_cache
_.is_disconnect
_.isolation_level
_.cache_ok
_.process_result_value

_.impl

# Alembic reads these names from each migration.
_.down_revision

# pika reads these names from its parameters and properties.
_.client_properties
_.connection_attempts
_.socket_timeout
_.stack_timeout

# RE2 reads these names.
_.case_sensitive
_.log_errors
_.never_capture
_.max_mem

# urllib3 and smtplib read or call these names.
_.response_class
_.is_verified
_.ConnectionCls
ConnectionCls
_.pool_classes_by_scheme
_._get_socket

# gunicorn calls them.
_.timeout_ctx

# waitress reads them.
_.parser_class
_.task_class
_.content_bytes_written
_.channel_class

# socketserver reads or calls them.
_.address_family
_.daemon_threads
_.block_on_close
_.request_queue_size
_.handle_error

# Used in shared/contracts, which is not read.
_.UNKNOWN_KEY
_.BAD_SIGNATURE
_.EXPIRED

# Used in quoted annotations only.
StartResponse
WSGIApplication
WSGIEnvironment

# click calls these methods and reads this name.
_.format_commands
_.format_epilog
_.command_class

# Programs call it.
_.run_events

# pika reads it.
_.ssl_options

# The import system reads it.
_.__path__
